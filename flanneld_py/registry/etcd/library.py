"""The packages that speak with etcd, imported with care; everything else gets them from here."""

import os
import warnings
from importlib import import_module

# We log ourselves what gRPC's C core would log about connections.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# etcd3's generated code is too old for protobuf's other implementations; with this one, any version will do.
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

with warnings.catch_warnings():
    # protobuf deprecates what etcd3 does; Python, what protobuf 3.20 does.
    warnings.simplefilter("ignore", DeprecationWarning)
    import etcd3
    import grpc
    from etcd3 import etcdrpc

    # What protobuf imports when the first message is written. Processes that are forked from one that has
    # imported us share it so: 2 MB for each.
    import_module("google.protobuf.descriptor_pb2")

__all__ = ["etcd3", "etcdrpc", "grpc"]
