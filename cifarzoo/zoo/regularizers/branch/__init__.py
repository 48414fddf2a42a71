"""Regularizers of residual branches."""
