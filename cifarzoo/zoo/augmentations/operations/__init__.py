"""What augmentations do to pixels, in batches."""
