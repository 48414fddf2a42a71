"""How much a config may ask of whoever reads it: a short text can stand for any amount of work."""

# Bytes of a config with all that it includes, and the length of its values, macros written out;
# the longest recipe has 1,251.
MAX_BYTES = 1 << 17
MAX_INCLUDES = 100  # lines that include a file; the recipes have at most 3
MAX_DEPTH = 50  # of brackets and macros in one another, and of components that hold components
MAX_COMPONENTS = 1_000  # that a run makes, counted once for each use
MAX_PROBLEMS = 100  # that are looked for before those that were found are shown
