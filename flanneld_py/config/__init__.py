"""The network's configuration, `{prefix}/config` in etcd: JSON -> NetworkConfig, every error naming its key.

Keys are flannel's. As in Go's JSON their case does not matter, unknown ones are ignored, and null means
absent.
"""

from collections.abc import Sequence

from flanneld_py.config.backend import BackendConfig, read_backend
from flanneld_py.config.diff import changes
from flanneld_py.config.families import IPV4, IPV6
from flanneld_py.config.model import NetworkConfig
from flanneld_py.config.pools import pool
from flanneld_py.config.reader import ConfigError, Problem, Problems, Section, read

__all__ = ["ConfigError", "NetworkConfig", "Problem", "changes", "parse"]


def parse(text: str | bytes, backends: Sequence[type[BackendConfig]]) -> NetworkConfig:
    """Read it; the backend is one of these. Raises ConfigError, which has all problems at once."""
    problems = Problems()
    fields = read(text)
    section = Section(fields, problems)
    has_ipv4, has_ipv6 = section.boolean("EnableIPv4", True), section.boolean("EnableIPv6", False)
    if not has_ipv4 and not has_ipv6:
        problems.add("EnableIPv4", "is false and EnableIPv6 is not true", "enable one of them, or both")
    config = NetworkConfig(
        pool(section, IPV4, wanted=has_ipv4, instead='set "EnableIPv4": false' if has_ipv6 else ""),
        pool(section, IPV6, wanted=has_ipv6, instead="leave EnableIPv6 out" if has_ipv4 else ""),
        read_backend(fields, backends, problems),
        section.boolean("EnableNFTables", False),
    )
    versions = [version for version, wanted in ((4, has_ipv4), (6, has_ipv6)) if wanted]
    for problem in config.backend.problems(versions):
        problems.add(problem.key, problem.message, problem.fix)
    if problems.found:
        raise ConfigError(tuple(problems.found))
    return config
