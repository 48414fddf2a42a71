"""Benchmarks: the engine beside what people use instead, and beside the machine's own rates."""
