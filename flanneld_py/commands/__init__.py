"""What `flanneld WORD` does instead of being the daemon: a module each, with `run(options) -> int`."""
