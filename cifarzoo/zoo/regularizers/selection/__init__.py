"""Regularizers that select which images of a batch are trained on."""
