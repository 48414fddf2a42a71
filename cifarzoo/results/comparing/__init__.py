"""Runs of one's own against each other: what they, or two configs, allow to be said."""
