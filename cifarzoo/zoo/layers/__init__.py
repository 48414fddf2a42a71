"""Conventions: how a network makes its convolutions, norms and classifier."""
