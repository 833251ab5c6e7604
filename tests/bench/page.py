"""The page of `lab serve`: how long it takes from its address to what somebody sees."""

from typing import Any

import click

from lab import lock
from lab.cluster import lifecycle, remove_all
from lab.engine import Engine
from lab.events import Reporter
from tests.bench.cluster import NAME, ten_minions
from tests.bench.report import line
from tests.cluster.browser import browser, missing, serving

DRAWN = """
addEventListener("DOMContentLoaded", () => {
  const summary = document.getElementById("summary");
  window.drawn = new Promise((told) => {
    new MutationObserver((_, observer) => {
      observer.disconnect();
      requestAnimationFrame(() => setTimeout(() => told(performance.now())));
    }).observe(summary, { childList: true });
  });
});
"""
"""The page says what the lab has when it has put that into its topology, which the next frame shows."""

PAINTED = """
new Promise((told) => {
  new PerformanceObserver((list, observer) => {
    for (const entry of list.getEntriesByName("first-contentful-paint")) {
      observer.disconnect();
      told(entry.startTime);
    }
  }).observe({ type: "paint", buffered: true });
})
"""
"""W3C Paint Timing. All times are in milliseconds since the page was asked for (`performance.timeOrigin`)."""


def measure(engine: Engine, rounds: int) -> None:
    """How soon a lab of ten minions is seen, in a browser that has not seen the page before."""
    if why := missing():
        click.echo(f"lab serve's page is left out: {why}")
        return
    with lock.held(engine.id, NAME):
        lifecycle.build(engine, ten_minions(), Reporter())
        try:
            with serving(NAME) as address, browser() as opened:
                seen = [_open(opened, address) for _ in range(rounds)]
        finally:
            list(remove_all(engine, NAME))
    painted, drawn, served = zip(*seen, strict=True)
    line("lab serve, ten minions: answered", served, "s")
    line("lab serve, ten minions: first paint", painted, "s", "target <= 0.5")
    line("lab serve, ten minions: topology drawn", drawn, "s")


def _open(opened: Any, address: str) -> tuple[float, float, float]:
    """Seconds until the first paint, until the topology is drawn, and until the page's first byte."""
    context = opened.new_context()  # with a cache of its own
    page = context.new_page()
    page.add_init_script(DRAWN)
    page.goto(address)
    painted, drawn = page.evaluate(PAINTED), page.evaluate("window.drawn")
    served = page.evaluate('performance.getEntriesByType("navigation")[0].responseStart')
    context.close()
    return painted / 1000, drawn / 1000, served / 1000
