"""The components that come with cifarzoo, registered exactly as plugins are."""
