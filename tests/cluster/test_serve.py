"""A story of `lab serve` in a browser: a fault by button makes a link red, and its end makes it green."""

from collections.abc import Iterator
from typing import Any

import pytest

from lab.cluster import Lab
from lab.deadlines import UNIT_STARTS
from tests.cluster.browser import browser, missing, serving
from tests.cluster.judging import wait_until_right

pytestmark = pytest.mark.cluster

ONE, TWO = "centos-minion01", "centos-minion02"
MILLISECONDS = UNIT_STARTS.seconds * 1000


@pytest.fixture
def address(lab: Lab) -> Iterator[str]:
    with serving(lab.name) as found:
        yield found


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    """The page, in a browser whose console stays empty."""
    if why := missing():
        pytest.skip(why)
    with browser() as found:
        opened = found.new_page()
        opened.set_default_timeout(MILLISECONDS)
        said: list[str] = []
        opened.on("console", lambda message: said.append(message.text))
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.goto(address)
        yield opened
    assert said == []


def wait_for(page: Any, place: str, words: str) -> None:
    page.locator(place).filter(has_text=words).first.wait_for()


AS_IF_ON_ENGINES = """async () => {
  const parts = ["api", "tables", "layout"].map((it) => import(`/static/${it}.js`));
  const [api, tables, layout] = await Promise.all(parts);
  const state = await api.get("/api/state");
  state.nodes.forEach((it, index) => { it.engine = `engine-${index}`; });
  tables.show(state);
  const rows = [...document.querySelectorAll("#nodes-table tbody tr")].map((it) => it.innerText);
  const wide = [...document.querySelectorAll("div.wide")].filter((it) => it.scrollWidth > it.clientWidth);
  const cut = wide.map((it) => it.innerText);
  return { rows, cut, places: layout.places(state, 320, 460), pods: state.pods };
}"""
"""What the page shows of this lab if each of its machines is on another engine, and where on a telephone."""


def see_a_part_of_the_time(page: Any) -> None:
    """Drag over the marks, which are at the end, and over where there are none; and back to the whole."""
    picture = page.locator("#event-picture")  # what is in it is drawn anew as time passes
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    for begin, end, has_lines in ((0.5, 1.0, True), (0.02, 0.4, False)):
        page.mouse.move(box["x"] + begin * box["width"], box["y"] + 10)
        page.mouse.down()
        page.mouse.move(box["x"] + end * box["width"] - 1, box["y"] + 12, steps=4)
        page.mouse.up()
        page.locator("#events-table tr").first.wait_for(state="visible" if has_lines else "detached")
        assert page.get_by_role("button", name="Whole span").is_visible()
        page.get_by_role("button", name="Whole span").click()
        assert page.get_by_role("button", name="Whole span").is_hidden()
    assert page.locator("#events-table tr").count() > 0


def test_a_fault_by_button_makes_a_link_red_and_its_end_makes_it_green_again(lab, page):
    wait_for(page, "#health", "all links answer")
    assert page.locator("#picture canvas").count() > 0
    page.get_by_role("button", name="Table").click()
    (row,) = page.locator("#links-table tr").filter(has_text=ONE).filter(has_text=TWO).all()
    assert "ok" in row.inner_text()
    page.get_by_label("Fault", exact=True).select_option("forward-drop")
    page.locator("#targets").fill(TWO)
    page.get_by_label("--everything").check()
    page.get_by_role("button", name="Start the fault").click()
    wait_for(page, "#in-force", f"forward-drop {TWO}")
    wait_for(page, "#links-table tr", "broken")
    page.get_by_role("button", name="Picture").click()
    page.get_by_role("button", name="Trace", exact=True).click()
    wait_for(page, ".diagnosis", f"FW_RULE at {TWO}")
    page.get_by_role("button", name="Clear all").click()
    wait_for(page, "#health", "all links answer")
    wait_for(page, "#events-table", "ok, was broken")
    see_a_part_of_the_time(page)
    wait_until_right(lab)


@pytest.mark.parametrize("width", [1280, 360])
def test_on_several_engines_that_of_each_machine_is_told_and_no_table_is_cut(page, width):
    wait_for(page, "#health", "all links answer")
    page.set_viewport_size({"width": width, "height": 740})
    page.get_by_role("button", name="Table").click()
    shown = page.evaluate(AS_IF_ON_ENGINES)
    assert len(shown["rows"]) == 3
    assert all(f"engine-{index}" in row for index, row in enumerate(shown["rows"]))
    assert shown["cut"] == []


def test_on_a_telephone_no_pod_lies_on_the_label_of_its_machine(page):
    wait_for(page, "#health", "all links answer")
    shown = page.evaluate(AS_IF_ON_ENGINES)
    assert len(shown["pods"]) == 2
    for pod in shown["pods"]:
        at, node = shown["places"][f"pod {pod['name']}"], shown["places"][f"node {pod['node']}"]
        # A label of two lines is below the machine's box, which is 26 high, and so is a pod.
        beside, below = abs(at["x"] - node["x"]) >= 66, at["y"] - node["y"] >= 13 + 4 + 30 + 13
        assert beside or below or at["y"] < node["y"]
