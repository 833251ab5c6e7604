"""A packet's way from socket to socket and back: by state, by what was seen of probes, and what is wrong."""
