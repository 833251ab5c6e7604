"""Loads the fast path's program, with a lease of 10.2.35.0/24 and one peer, and shows it frames.

Prints for each what it returned, and what it has counted since the last one.
"""

import ctypes
import json
import math
import platform
import struct
import sys

sys.path.insert(0, "/usr/lib/flanneld")
from importlib.resources import files
from ipaddress import IPv4Address, IPv4Network

from flanneld_py.datapath.fast_path import bpf, image, layouts
from flanneld_py.datapath.forward import ForwardTable, Mandate, Peer

us, node, frames = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
read = image.read_image(files("flanneld_py.datapath.fast_path").joinpath("fast_path.o").read_bytes())
maps = {name: bpf.Map(shape) for name, shape in read.maps.items()}
code = read.instructions("tcx/ingress", {name: each.fd for name, each in maps.items()})
program = bpf.load_program(code, "Dual MIT/GPL")
ours, peer = IPv4Network("10.2.35.0/24"), Peer((node, 8285), 1472)
mandate = Mandate(ours[0], ours, ForwardTable(), math.inf)
maps["mandates"].put(layouts.FIRST, layouts.mandate(mandate, layouts.Place(IPv4Address(us), 8285, 1, 1)))
maps["peers"].put(layouts.prefix(IPv4Network("10.2.52.0/24")), layouts.peer(peer, fast=True))


def dropped():
    counts = [layouts.number(maps["drops"].get(layouts.index(at))) for at in range(len(layouts.DROPS))]
    return {drop.reason: count for drop, count in zip(layouts.DROPS, counts, strict=True) if count}


said, before = [], {}
for frame, flags in frames:
    data = bytes.fromhex(frame)
    held = ctypes.create_string_buffer(data, len(data))
    # prog_fd, retval, data_size_in, data_size_out, data_in, data_out, repeat, duration; sizes and places of a
    # context; flags, cpu, batch_size
    place = ctypes.addressof(held)
    packed = struct.pack("=4I2Q2I", program, 0, len(data), 0, place, 0, 1, 0) + bytes(24)
    packed += struct.pack("=3I4x", flags, 0, 0)
    attr = ctypes.create_string_buffer(packed, len(packed))
    if bpf._libc.syscall(bpf.NR_BPF[platform.machine()], 10, attr, len(attr)):  # BPF_PROG_TEST_RUN
        raise OSError(ctypes.get_errno(), "BPF_PROG_TEST_RUN")
    now = dropped()
    verdict = struct.unpack_from("=i", attr, 4)[0]
    said.append([verdict, {each: now[each] for each in now if each not in before}])
    before = now
print(json.dumps(said))
