"""Run folders and what is in them."""
