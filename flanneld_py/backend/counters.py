"""What the kernel has counted on devices: /proc/net/dev (proc(5)), that of our own namespace."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from flanneld_py.monitor.statistics import Flow, Statistics

__all__ = ["device_statistics", "read_counters"]

PATH: Final = Path("/proc/self/net/dev")


def device_statistics(devices: Collection[str], repairs: int) -> Statistics:
    """The sum over these devices, as far as they are there. For any thread."""
    return read_counters(PATH.read_text(), devices, repairs) if devices else Statistics(repairs=repairs)


def read_counters(text: str, devices: Collection[str], repairs: int = 0) -> Statistics:
    """The same, of the file's text."""
    found = list(_lines(text, devices))
    if not found:
        return Statistics(repairs=repairs)
    # Of a line: received bytes, packets, errors, dropped, ...; the 8th begins the same of what was sent.
    total = [sum(numbers) for numbers in zip(*found, strict=True)]
    return Statistics(
        sent={"": Flow(total[9], total[8])},
        received={"": Flow(total[1], total[0])},
        dropped={
            "receive error": total[2],
            "receive dropped": total[3],
            "transmit error": total[10],
            "transmit dropped": total[11],
        },
        repairs=repairs,
    )


def _lines(text: str, devices: Collection[str]) -> Iterator[tuple[int, ...]]:
    for line in text.splitlines():
        name, colon, numbers = line.partition(":")
        if colon and name.strip() in devices:
            yield tuple(int(number) for number in numbers.split())
