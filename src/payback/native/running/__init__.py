"""Programs: calling them, in threads, step by step and many steps a call."""
