"""The loops that are compared, each written as its users write it."""
