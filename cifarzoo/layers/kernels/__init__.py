"""Kernels of our own for CPUs, in channels_last: norms with what follows them, pooling."""
