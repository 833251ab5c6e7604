"""The workload, passed as text to the Python of a machine. It uses only the standard library."""
