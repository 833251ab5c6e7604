"""The program that a machine runs while somebody looks at the page: the modules here."""

from lab.inside import Installed

__all__ = ["PROGRAM"]

PROGRAM = Installed("watch", "lab.web.inside.watch", {"lab.web.inside": ("flows", "watch")})
