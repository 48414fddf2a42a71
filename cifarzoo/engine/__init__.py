"""The engine: builds what a config describes, trains it on any number of devices, loses nothing."""
