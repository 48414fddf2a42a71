"""Bytes of one file to arrays, a module a format; none runs anything that a file says."""
