"""Programs passed as text to the Python of a machine of the lab. They use only the standard library."""
