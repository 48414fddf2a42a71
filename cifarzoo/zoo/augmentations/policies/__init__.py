"""Augmentations that choose from several operations."""
