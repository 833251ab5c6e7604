"""Packets of several places of a lab at once: pods, machines, links; as one file or as lines."""
