"""The errors of a trace: what was asked, why it cannot be, what to write."""
