"""Regularizers around the forward pass."""
