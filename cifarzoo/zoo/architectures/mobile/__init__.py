"""Networks made for few operations."""
