"""From a run to objects: sizes, components, checks before the first batch."""
