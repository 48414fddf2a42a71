"""Regularizers around the loss."""
