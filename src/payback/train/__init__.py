"""Training: one loop for everyone, `fit`; the command line calls it too."""
