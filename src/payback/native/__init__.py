"""Machine code: a graph compiled with LLVM, for the CPU that it runs on."""
