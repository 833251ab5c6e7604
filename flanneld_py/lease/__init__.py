"""Leases as values: their JSON, which are valid, which one we choose, and subnet.env."""
