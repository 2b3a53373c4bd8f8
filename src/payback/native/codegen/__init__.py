"""From lowered kernels to machine code, kept in this process and on disk."""
