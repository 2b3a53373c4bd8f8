"""The contestants of the benchmark, one file a library: each does every work as an expert of that library would.

A contestant is a process of its own (`python -m benchmarks.contestants NAME`), asked in JSON lines by `arena.py`: so
the thread pools and allocators of one library never disturb another's.
"""
