"""Regularizers of whole batches: images and targets are mixed."""
