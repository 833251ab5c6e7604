"""flannel's daemon in Python: leases a subnet in etcd and joins it to the other nodes' subnets."""

__version__ = "0.1.0"
