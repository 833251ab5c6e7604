"""What a machine's kernel has counted (networking/snmp_counter.rst)."""

from tests.kernel.harness import Host

__all__ = ["echoes", "wrong_checksums"]


def wrong_checksums(*of: Host) -> list[str]:
    """Lines of /proc/net/snmp that count packets with a wrong checksum (networking/snmp_counter.rst)."""
    found = []
    for host in of:
        lines = host.run("cat", "/proc/net/snmp").text.splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            for name, value in zip(names.split(), values.split(), strict=True):
                if name == "InCsumErrors" and value != "0":
                    found.append(f"{host.name}: {names.split()[0]} {name} {value}")
    return found


def echoes(host: Host) -> int:
    """Echo requests that have reached this machine (/proc/net/snmp)."""
    lines = [line.split() for line in host.run("cat", "/proc/net/snmp").text.splitlines()]
    names, values = (line for line in lines if line[0] == "Icmp:")
    return int(values[names.index("InEchos")])
