"""The program that a machine runs while somebody looks at the page; it needs Python's library alone."""
