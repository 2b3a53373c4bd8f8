"""Files: one format for models, one safe way to load it."""
