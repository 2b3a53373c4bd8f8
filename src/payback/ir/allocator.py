"""The C library and large arrays: what was freed is used again, not given back to the system at once.

A block from the system comes with a page fault for every 4 KB, which takes longer than most arithmetic on it: five
products of 60,000 numbers took 1.2 ms where they take 0.1 in memory that is there.  NumPy has no say in it, glibc has:
it asks the system for each block above 128 KB, and gives it back when it is freed, until the first larger one, of up
to 32 MB, has been freed.  From then on it keeps blocks of that size to itself, up to twice as much (M_MMAP_THRESHOLD
in mallopt(3), "dynamic adjustment").  Programs with arrays of 30 MB get there without anybody's doing.  A user's own
setting (MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_) stands; other C libraries have rules of their own.
"""

import numpy as np

__all__ = ["keep_freed_blocks"]

_LARGEST = 1 << 25  # bytes that glibc adjusts itself to, its own bookkeeping and a page included


def keep_freed_blocks() -> None:
    """Free one block that is nearly as large as can be; no page of it is touched."""
    np.empty(_LARGEST - (1 << 16), np.uint8)
