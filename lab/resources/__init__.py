"""The files that are not Python and have their place elsewhere in the repository: images/ and locks/.

Links in this folder lead there, so that a clone and an installed package have them under the same path.
"""

from importlib.resources import files
from importlib.resources.abc import Traversable

__all__ = ["ROOT"]

ROOT: Traversable = files(__name__)
"""Has `images/NAME/Dockerfile`, what that image is made from beside it, and `locks/NAME.txt`."""
