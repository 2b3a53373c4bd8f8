"""Texts of traced values, followed by data flow."""
