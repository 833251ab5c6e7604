"""What a machine tells of its clocks, passed as text to its Python. It uses only the standard library."""
