"""Times, probabilities and rates as people and tc(8) write them: `100ms`, `5%`, `20mbit`. Pure."""

import re
from collections.abc import Mapping

from lab.errors import Unfit

__all__ = ["probability", "probability_text", "rate", "rate_text", "seconds", "seconds_text"]

NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z%]*)", re.IGNORECASE)

TIME = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
RATE = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
"""tc(8)'s units: SI prefixes, bits a second."""


def _read(text: str, units: Mapping[str, float], what: str, examples: str) -> float:
    found = NUMBER.fullmatch(text.strip())
    if found is None or found[2].lower() not in units:
        raise Unfit(f"{text!r} is not {what}", hint=f"write a number and its unit, such as {examples}")
    return float(found[1]) * units[found[2].lower()]


def seconds(text: str) -> float:
    """A time, in seconds. Raises `Unfit`."""
    return _read(text, TIME, "a time", "100ms, 250us or 1.5s")


def probability(text: str) -> float:
    """A percentage, as a number from 0 to 1. Raises `Unfit`."""
    found = _read(text, {"%": 1.0}, "a percentage", "5% or 0.1%") / 100
    if found > 1:
        raise Unfit(f"{text!r} is more than all packets", hint="write at most 100%")
    return found


def rate(text: str) -> int:
    """A rate, in bits a second. Raises `Unfit`."""
    return round(_read(text, RATE, "a rate", "20mbit, 512kbit or 1gbit"))


def seconds_text(value: float) -> str:
    """A time so that `seconds`, and tc(8), read it: `100ms`."""
    if value >= 1:
        return f"{value:.10g}s"
    return f"{value * 1e3:.10g}ms" if value >= 1e-3 else f"{value * 1e6:.10g}us"


def probability_text(value: float) -> str:
    """A probability so that `probability`, and tc(8), read it: `5%`."""
    return f"{value * 100:.10g}%"


def rate_text(value: int) -> str:
    """A rate so that `rate`, and tc(8), read it: `20mbit`."""
    name, size = next((name, size) for name, size in reversed(RATE.items()) if value >= size)
    return f"{value / size:.10g}{name}"
