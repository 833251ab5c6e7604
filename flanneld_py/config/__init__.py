"""The network's configuration, `{prefix}/config` in etcd: JSON -> NetworkConfig, every error naming its key.

Keys are flannel's. As in Go's JSON their case does not matter, unknown ones are ignored, and null means
absent.
"""

from flanneld_py.config.backends import backend
from flanneld_py.config.model import Ipip, NetworkConfig, Udp
from flanneld_py.config.pools import IPV4, IPV6, pool
from flanneld_py.config.reader import ConfigError, Problem, Problems, Section, read
from flanneld_py.config.words import changes, settings

__all__ = ["ConfigError", "NetworkConfig", "Problem", "changes", "parse", "settings"]


def parse(text: str | bytes) -> NetworkConfig:
    """Read the configuration; raises ConfigError, which has all problems at once."""
    problems = Problems()
    fields = read(text)
    section = Section(fields, problems)
    has_ipv4, has_ipv6 = section.boolean("EnableIPv4", True), section.boolean("EnableIPv6", False)
    if not has_ipv4 and not has_ipv6:
        problems.add("EnableIPv4", "is false and EnableIPv6 is not true", "enable one of them, or both")
    config = NetworkConfig(
        pool(section, IPV4) if has_ipv4 else None,
        pool(section, IPV6) if has_ipv6 else None,
        backend(fields, problems),
        section.boolean("EnableNFTables", False),
    )
    if isinstance(config.backend, Udp | Ipip) and has_ipv6:
        kind = config.backend.type
        fix = "leave EnableIPv6 out, or choose the backend vxlan"
        problems.add("Backend.Type", f"{kind} carries IPv4 only, and EnableIPv6 is true", fix)
    if problems.found:
        raise ConfigError(tuple(problems.found))
    return config
