"""Regularizers around the optimizer."""
