"""`mk-docker-opts.sh`: turns subnet.env into Docker options; v0.5.5's flags and output, byte for byte.

Two things differ from the original script: subnet.env is parsed, not executed, and the output file is renamed
into place, so that Docker never reads half of it. It runs at every boot, so it imports little. Like today's
script it warns, in the same words, of a route that leads to the subnet through another machine; but that
script then exits with 1, so that Docker, whose unit requires the output file, does not start.
"""

import os
import socket
import stat
import sys
from pathlib import Path

from flanneld_py.lease import assignments

__all__ = ["elsewhere", "main", "render"]

ROUTES = Path("/proc/net/route")
"""The kernel's IPv4 routes in the main table (proc(5))."""

RTF_GATEWAY = 0x2  # linux/route.h

_USAGE = """\
usage: {program} [-f FLANNEL-ENV] [-d DOCKER-ENV] [-i] [-c] [-m] [-k KEY]

Turns what flanneld wrote into options for the Docker daemon.

  -f FILE  what flanneld wrote; by default /run/flannel/subnet.env
  -d FILE  where the options go; by default /run/docker_opts.env
  -i       one variable for each option, such as DOCKER_OPT_MTU
  -c       all options in one variable; without -i and -c, both
  -m       leave out --ip-masq, which old versions of Docker do not support
  -k KEY   the name of that one variable; by default DOCKER_OPTS
"""


def render(
    variables: dict[str, str],
    individual: bool = True,
    combined: bool = True,
    ip_masq: bool = True,
    key: str = "DOCKER_OPTS",
) -> str:
    """Render the output file. `variables` are the environment, overridden by what subnet.env sets.

    As in the original script, every variable DOCKER_OPT_* is added to the options, and any previous value of
    `key` is put before them. Raises ValueError if FLANNEL_IPMASQ is neither true nor false.
    """
    options = {name: value for name, value in variables.items() if name.startswith("DOCKER_OPT_")}
    if subnet := variables.get("FLANNEL_SUBNET"):
        options["DOCKER_OPT_BIP"] = f"--bip={subnet}"
    if mtu := variables.get("FLANNEL_MTU"):
        options["DOCKER_OPT_MTU"] = f"--mtu={mtu}"
    masquerades = variables.get("FLANNEL_IPMASQ")
    if masquerades and ip_masq:
        if masquerades not in ("true", "false"):
            raise ValueError(f"Invalid value of FLANNEL_IPMASQ: {masquerades}")
        # Either flannel masquerades or Docker does, never both.
        options["DOCKER_OPT_IPMASQ"] = f"--ip-masq={'false' if masquerades == 'true' else 'true'}"
    lines = [f'{name}="{options[name]}"\n' for name in sorted(options)] if individual else []
    if combined:
        values = "".join(f"{options[name]} " for name in sorted(options))
        lines.append(f'{key}="{(variables | options).get(key, "")} {values}"\n')
    return "".join(lines)


def elsewhere(subnet: str, routes: str) -> str:
    """Return the route to exactly this subnet through another machine, as `ip route` prints it; "" if none.

    `subnet` is FLANNEL_SUBNET, a bridge's address in it; `routes` is the content of /proc/net/route.
    """
    address, _, length = subnet.partition("/")
    try:
        number = int.from_bytes(socket.inet_aton(address), "big")
        mask = (0xFFFFFFFF << (32 - int(length))) & 0xFFFFFFFF
    except (OSError, ValueError):  # invalid for Docker as well, which reports it
        return ""
    for line in routes.splitlines()[1:]:
        device, to, via, flags, _, _, _, of, *_ = line.split()
        if (_host(to), _host(of)) == (number & mask, mask) and int(flags, 16) & RTF_GATEWAY:
            network, gateway = (socket.inet_ntoa(n.to_bytes(4, "big")) for n in (number & mask, _host(via)))
            return f"{network}/{length} via {gateway} dev {device}"
    return ""


def _host(text: str) -> int:
    """Parse an address of /proc/net/route, where the four bytes are one number in native byte order."""
    return int.from_bytes(int(text, 16).to_bytes(4, sys.byteorder), "big")


def main() -> int:
    """Run the console script; return 0, or 1 after a line on stderr."""
    program = sys.argv[0]
    try:
        letters, values = _flags(sys.argv[1:])
    except ValueError as error:
        sys.stderr.write(f"{program}: {error}\n" + _USAGE.format(program=program))
        return 1
    source = values.get("f", "/run/flannel/subnet.env")
    try:
        found, others = assignments.read(_read(Path(source)))
        for line in others:
            sys.stderr.write(f"{program}: {source}: ignored, because it is not an assignment: {line}\n")
        both = not letters & {"i", "c"}
        text = render(
            {**os.environ, **found},
            individual=both or "i" in letters,
            combined=both or "c" in letters,
            ip_masq="m" not in letters,
            key=values.get("k", "DOCKER_OPTS"),
        )
        _write(Path(values.get("d", "/run/docker_opts.env")), text)
        if way := elsewhere(found.get("FLANNEL_SUBNET", ""), _read(ROUTES)):
            sys.stderr.write(f"{program}: Your routing table already contains the subnet: {way}\n")
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{program}: {error.filename}: {error.strerror}\n")
        return 1
    return 0


def _flags(argv: list[str]) -> tuple[set[str], dict[str, str]]:
    """Parse like getopts "f:d:icmk:": letters may be combined, and -fFILE means -f FILE.

    The first other argument ends the options.
    """
    letters: set[str] = set()
    values: dict[str, str] = {}
    rest = list(argv)
    while rest and len(rest[0]) > 1 and rest[0].startswith("-"):
        argument = rest.pop(0)[1:]
        if argument == "-":
            break
        while argument:
            letter, argument = argument[0], argument[1:]
            if letter in "icm":
                letters.add(letter)
            elif letter not in "fdk":
                raise ValueError(f"illegal option -- {letter}")
            elif argument or rest:
                values[letter], argument = argument or rest.pop(0), ""
            else:
                raise ValueError(f"option requires an argument -- {letter}")
    if "k" in values and not (values["k"].isascii() and values["k"].isidentifier()):
        raise ValueError(f"-k {values['k']}: not the name of a variable")
    return letters, values


def _read(path: Path) -> str:
    """Read a file; empty if it does not exist, as in the original: Docker then starts without options."""
    return path.read_text(encoding="utf-8", errors="surrogateescape") if path.is_file() else ""


def _write(path: Path, text: str) -> None:
    """Write the text by renaming, following symlinks; write directly to a non-regular file (/dev/stdout)."""
    data = text.encode("utf-8", errors="surrogateescape")
    try:
        _put(path, data)
    except OSError as error:  # on a full disk the error names no file, on a closed /dev/stdout another one
        raise OSError(error.errno, error.strerror, str(path)) from error


def _put(path: Path, data: bytes) -> None:
    target = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:  # a symlink that others put there is not followed
            file.write(data)
        temporary.chmod(stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644)
        temporary.replace(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
