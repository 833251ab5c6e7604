"""Prints what is at a URL."""

import sys
from urllib.request import urlopen

print(urlopen(sys.argv[1], timeout=5).read().decode())  # noqa: S310 -- a test's own server
