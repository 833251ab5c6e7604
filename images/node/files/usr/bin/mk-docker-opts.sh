#!/usr/bin/python3 -I
# The same program as in flannel's release, by the same name; the code is beside the daemon's.
import sys

sys.path.insert(0, "/usr/lib/flanneld")

from flanneld_py.mk_docker_opts import main

sys.exit(main())
