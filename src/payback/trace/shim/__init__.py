"""What NumPy's protocols do not dispatch, answered while a function is traced."""
