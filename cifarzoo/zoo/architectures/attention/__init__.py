"""Networks whose pixels or patches attend to each other."""
