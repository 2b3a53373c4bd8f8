"""Arrays that are written into: views, buffers, and what is known of their memory."""
