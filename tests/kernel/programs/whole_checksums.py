"""Has a device's packets leave with whole checksums."""

import sys

sys.path.insert(0, "/usr/lib/flanneld")
from flanneld_py.kernel.offload import set_tx_checksum

set_tx_checksum(sys.argv[1], False)
