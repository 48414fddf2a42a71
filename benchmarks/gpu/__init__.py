"""The check of a GPU: does the engine compute there what it computes on a CPU, and how fast."""
