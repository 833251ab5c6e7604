"""The program that looks at a machine on the machine itself; it uses only Python's library."""
