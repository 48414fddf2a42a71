"""Networks without residual blocks."""
