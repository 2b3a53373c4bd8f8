"""Large products, block by block: the register tile, and copies of blocks in the order in which it reads them."""
