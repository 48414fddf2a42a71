"""A stand-in for the CUDA runtime on machines without a GPU: it counts, and computes nothing."""
