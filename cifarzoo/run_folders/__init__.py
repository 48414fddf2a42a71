"""A run's folder: the files that are the truth about it, and where its result comes from."""
