"""`python -m flanneld_py` is `flanneld`."""

import sys

from flanneld_py.cli import main

sys.exit(main())
