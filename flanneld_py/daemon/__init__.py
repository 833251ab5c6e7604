"""A network from its configuration to its end, the lease loop, and all networks of this machine."""
