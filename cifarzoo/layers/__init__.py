"""Modules that the engine puts in the place of torch's."""
