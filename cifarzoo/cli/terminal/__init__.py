"""What draws on a terminal: tables, progress, cards; rich is used here alone."""
