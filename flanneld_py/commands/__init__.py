"""The subcommands `flanneld WORD`, one module each, with `run(options) -> int`."""
