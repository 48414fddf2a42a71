"""Glyphs: drawn 32 x 32 pictures of ten shapes, made from a seed.

Synthetic; neither CIFAR nor photographs. Every picture is a function of (seed, split,
index), computed with float32 operations that IEEE 754 rounds exactly and with the raw
PCG64 stream, so that the bytes do not depend on machine, SIMD width or NumPy version.
"""
