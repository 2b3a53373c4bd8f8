"""Matrix products: which kernel, its register tile, and copies of blocks in the tile's order."""
