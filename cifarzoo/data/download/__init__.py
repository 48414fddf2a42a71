"""From a published dataset's mirrors to files that were checked before they got their names."""
