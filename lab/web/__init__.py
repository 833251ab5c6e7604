"""`lab serve`: a page about one lab, and the same numbers as JSON. It binds to 127.0.0.1 alone."""
