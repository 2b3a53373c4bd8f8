"""What a computation is: nodes with abstract values, and graphs of them."""
