"""The network's configuration, `{prefix}/config` in etcd: JSON -> NetworkConfig, every error naming its key.

Keys are flannel's. As in Go's JSON their case does not matter, unknown ones are ignored, and null means
absent.
"""

from flanneld_py.config.backends import backend
from flanneld_py.config.compatibility import misfits, uncarried
from flanneld_py.config.diff import changes, settings
from flanneld_py.config.families import IPV4, IPV6
from flanneld_py.config.model import NetworkConfig
from flanneld_py.config.pools import pool
from flanneld_py.config.reader import ConfigError, Problem, Problems, Section, read

__all__ = ["ConfigError", "NetworkConfig", "Problem", "changes", "parse", "settings", "uncarried"]


def parse(text: str | bytes) -> NetworkConfig:
    """Read the configuration; raises ConfigError, which has all problems at once."""
    problems = Problems()
    fields = read(text)
    section = Section(fields, problems)
    has_ipv4, has_ipv6 = section.boolean("EnableIPv4", True), section.boolean("EnableIPv6", False)
    if not has_ipv4 and not has_ipv6:
        problems.add("EnableIPv4", "is false and EnableIPv6 is not true", "enable one of them, or both")
    config = NetworkConfig(
        pool(section, IPV4, wanted=has_ipv4, instead='set "EnableIPv4": false' if has_ipv6 else ""),
        pool(section, IPV6, wanted=has_ipv6, instead="leave EnableIPv6 out" if has_ipv4 else ""),
        backend(fields, problems),
        section.boolean("EnableNFTables", False),
    )
    for problem in misfits(config.backend, ipv4=has_ipv4, ipv6=has_ipv6):
        problems.add(problem.key, problem.message, problem.fix)
    if problems.found:
        raise ConfigError(tuple(problems.found))
    return config
