"""A long search for bugs in our own daemon: `make soak`."""
