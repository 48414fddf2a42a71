"""What a component is, which there are, and the run that a config describes."""
