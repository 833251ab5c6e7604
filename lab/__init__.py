"""A laboratory for overlay networks: containers stand in for a small cluster's machines."""
