"""Where Python begins when it runs the folder."""

import sys

from lab.faults.inside.main import main

sys.exit(main(sys.argv[1:]))
