"""From a graph to commands: what is computed together, in which order, and where it is stored."""
