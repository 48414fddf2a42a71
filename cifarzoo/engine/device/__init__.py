"""What suits a device: precision, compilation, memory, paths that are slow."""
