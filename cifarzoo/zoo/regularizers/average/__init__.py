"""Weights that are evaluated in the place of those that are trained."""
