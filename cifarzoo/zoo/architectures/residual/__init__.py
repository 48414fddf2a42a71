"""Networks of residual blocks, and what they are made of."""
