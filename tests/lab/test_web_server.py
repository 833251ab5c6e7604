"""The server of `lab serve`, with a lab that is not there."""

import asyncio
import json
import queue
import re
import signal
import socket
import stat
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
import uvicorn

from lab import wait, web
from lab.cli import serve
from lab.errors import LabError, Unfit
from lab.web.guard import Guard
from lab.web.run import BY_HAND, bound
from lab.web.run import serve as serve_page
from tests.lab.examples import fake_lab
from tests.lab.served import GUARD, ONE, TWO, FakeActs, FakeLooks, Served, seen, watched

STATIC = Path(web.__file__).parent / "static"
CHANGING = ["/api/faults/start", "/api/faults/stop", "/api/faults/clear", "/api/trace"]


@pytest.fixture
def served() -> Served:
    return Served()


def test_the_page_needs_no_token_and_every_answer_has_the_policy(served):
    page = served.client.get("/", headers={"X-Lab-Token": ""})
    assert page.status_code == 200
    for answer in (page, served.client.get("/api/catalogue"), served.client.get("/nothing")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers


def test_nothing_of_the_page_is_inline_or_from_elsewhere():
    for path in [*STATIC.glob("*.html"), *STATIC.glob("*.css"), *STATIC.glob("*.js")]:
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"https?://(?!www\.w3\.org/)", text) == [], path
        if path.suffix == ".html":
            assert re.findall(r"<script(?![^>]* src=)|<style| style=| on\w+=", text) == []


@pytest.mark.parametrize(
    "path", ["/api/state", "/api/events", "/api/live", "/api/catalogue", "/api/logs/a/b"]
)
def test_what_tells_takes_the_token_in_the_header_or_in_the_address(served, path):
    refused = served.client.get(path, headers={"X-Lab-Token": "guess"})
    assert refused.status_code == 403
    assert "open the address that lab serve has printed" in refused.json()["error"]
    if path != "/api/live":
        inside = served.client.get(f"{path}?token={GUARD.token}", headers={"X-Lab-Token": ""})
        assert inside.status_code == 200


@pytest.mark.parametrize("path", CHANGING)
def test_what_does_something_takes_the_token_in_the_header_alone(served, path):
    refused = served.client.post(f"{path}?token={GUARD.token}", json={}, headers={"X-Lab-Token": ""})
    assert refused.status_code == 403
    assert served.client.get(path).status_code == 405
    assert served.acts.asked == []
    assert served.client.post(path, json={}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example:7080"}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Host": "localhost:7080"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:7081"}, 403),
        ({"Origin": "http://127.0.0.1:7080"}, 200),
    ],
)
def test_a_page_of_another_site_is_not_served(served, headers, status):
    assert served.client.post("/api/faults/clear", json={}, headers=headers).status_code == status
    assert served.client.get("/", headers=headers).status_code == status


def test_a_token_that_is_no_text_of_ours_is_refused():
    guard = Guard("secret", 80)

    def refused(header: str) -> bool:
        given = guard.refusal("POST", "/api/x", host="127.0.0.1:80", origin=None, header=header, query="")
        return given is not None

    assert refused("sécret")
    assert not refused("secret")


@pytest.mark.parametrize("name", ["127.0.0.1", "127.0.0.1:80", "localhost", "localhost:80"])
def test_on_port_80_a_browser_that_leaves_out_the_port_is_served(name):
    guard = Guard("secret", 80)

    def refused(host: str, origin: str | None) -> bool:
        return guard.refusal("GET", "/", host=host, origin=origin, header="", query="") is not None

    assert not refused(name, None)
    assert not refused(name, f"http://{name}")
    assert refused(f"{name}81", None)
    assert refused(name, f"https://{name}")
    assert refused("evil.example", None)


def test_who_asks_once_gets_a_look_of_now(served):
    state = served.client.get("/api/state").json()
    assert (state["schemaVersion"], state["lab"]) == (1, "tutorial")
    assert [node["name"] for node in state["nodes"]] == ["centos-master", ONE, TWO]
    assert served.looks.looked >= 1


def test_the_first_event_comes_at_once_and_the_next_has_what_was_seen(served):
    (name, first), (_, second) = served.live(2)
    assert (name, first["nodes"]) == ("state", [])
    assert len(second["nodes"]) == 3


def test_what_changes_is_told_once():
    looks = FakeLooks([seen(), seen(watched=watched(broken=[f"overlay {TWO}"]))])
    events = [data["events"] for name, data in Served(looks).live(6) if name == "changes"]
    ((line,),) = events
    assert (line["number"], line["subject"], line["words"]) == (1, "link", "broken, was ok")


def test_nobody_is_asked_while_nobody_listens(served):
    served.live(2)
    wait.until(lambda: served.looks.rested or wait.NotYet("looks"), what="the end of looks", timeout=10)
    assert served.looks.rested == 1
    assert served.feed.error is None


def test_a_defect_in_a_look_is_told(served, monkeypatch):
    def look() -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(served.looks, "look", look)
    told = served.live(2)
    name, document = told[-1]
    assert (name, document["error"]) == ("defect", "ZeroDivisionError: oh")


def test_a_fault_is_started_as_the_command_line_would_and_is_seen_at_once(served):
    body = {"fault": "mtu", "targets": [ONE], "options": {"to": "1300"}}
    assert served.client.post("/api/faults/start", json=body).json() == {"did": "start"}
    assert served.acts.asked == [("start", body)]
    assert served.looks.expired == 1


def test_an_error_has_what_was_attempted_and_what_to_do():
    error = Unfit("there is no fault mut", hint="See: lab fault ls")
    error.add_note("a note")
    answer = Served(acts=FakeActs(error=error)).client.post("/api/faults/start", json={})
    assert answer.status_code == 400
    assert answer.json() == {
        "schemaVersion": 1,
        "error": "there is no fault mut",
        "hint": "See: lab fault ls",
        "notes": ["a note"],
    }
    other = Served(acts=FakeActs(error=LabError("node paused"))).client.post("/api/trace", json={})
    assert other.status_code == 502


def test_a_defect_is_told_as_one(served, monkeypatch):
    def stumble(_body: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(served.acts, "_do", lambda *_: stumble(None))
    answer = served.client.post("/api/trace", json={})
    assert (answer.status_code, answer.json()["error"]) == (
        500,
        "a defect of lab serve: ZeroDivisionError: oh",
    )


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b" " * 200_000], ids=["half", "list", "text", "much"])
def test_a_body_that_is_no_object_is_refused(served, body):
    assert served.client.post("/api/trace", content=body).status_code == 400


def test_logs_are_of_a_unit_of_a_node_and_no_longer_than_wanted(served):
    assert served.client.get(f"/api/logs/{ONE}/flanneld?lines=7").json() == {"did": "logs"}
    assert served.acts.asked == [("logs", (ONE, "flanneld", 7))]
    assert served.client.get(f"/api/logs/{ONE}/flanneld?lines=x").status_code == 400


def test_the_catalogue_is_that_of_the_command_line(served):
    faults = served.client.get("/api/catalogue").json()["faults"]
    assert {"partition", "node-pause", "etcd-wipe"} <= {fault["name"] for fault in faults}


def test_a_browser_that_has_a_file_is_not_sent_it_again(served):
    mark = served.client.get("/static/app.js").headers["etag"]
    again = served.client.get("/static/app.js", headers={"If-None-Match": mark})
    assert (again.status_code, again.text, again.headers["etag"]) == (304, "", mark)
    assert served.client.get("/static/dom.js", headers={"If-None-Match": mark}).status_code == 200


def test_the_first_paint_waits_for_one_sheet_and_for_no_script(served):
    page = served.client.get("/").text
    assert len(re.findall(r'<link rel="stylesheet"', page)) == 1
    assert re.findall(r"<script (?!type=\"module\")", page) == []
    kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    for path in re.findall(r'(?:href|src)="(/[^"]+)"', page):
        answer = served.client.get(path)
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (
            200,
            kinds[path.rpartition(".")[2]],
        )


def test_files_outside_of_the_page_are_not_served(served):
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static/vendor/"):
        assert served.client.get(path).status_code == 404


def test_a_port_that_is_taken_is_one_clear_line():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Unfit, match=f"port {port} of 127.0.0.1 is taken") as caught:
            bound(port, "demo")
    assert caught.value.hint == "Take one that is free: lab serve --name demo --port 0"


def test_it_listens_on_this_machine_alone():
    with bound(0, "demo") as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


@pytest.fixture
def run_by(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, list[str]]]:
    """Serves until that has happened; answers the printed address, and what there was to warn of."""

    def run_by(until: Callable[[], None]) -> tuple[str, list[str]]:
        async def serve(*_: object, **__: object) -> None:
            until()

        monkeypatch.setattr(uvicorn.Server, "serve", serve)
        told: list[str] = []
        warned: list[str] = []
        fake = fake_lab()
        lab = SimpleNamespace(name="demo", spec=fake.spec, segments=fake.segments, state=fake.state)
        with bound(0, "demo") as listener:
            serve_page(lambda: cast(Any, lab), listener, told.append, warned.append, browse=True)
        return told[0], warned

    return run_by


def test_a_signal_while_the_event_loop_is_made_leaves_none_half_made(run_by, monkeypatch):
    made: list[asyncio.AbstractEventLoop] = []
    make = asyncio.new_event_loop

    def interrupted() -> asyncio.AbstractEventLoop:
        signal.raise_signal(signal.SIGTERM)
        made.append(make())
        return made[-1]

    monkeypatch.setattr(asyncio.events, "new_event_loop", interrupted)
    monkeypatch.setattr(webbrowser, "open", lambda _: True)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as `lab` has it
    try:
        with pytest.raises(KeyboardInterrupt):
            run_by(lambda: None)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [loop.is_closed() for loop in made] == [True]


def test_a_browser_is_started_with_a_file_of_this_user_alone_that_leads_to_the_address(run_by, monkeypatch):
    opened: queue.SimpleQueue[str] = queue.SimpleQueue()

    def start(way: str) -> bool:
        opened.put(way)
        return True

    monkeypatch.setattr(webbrowser, "open", start)
    found: dict[str, Any] = {}

    def look() -> None:
        found["way"] = opened.get(timeout=20)
        path = found["path"] = Path(url2pathname(urlsplit(found["way"]).path))
        found["text"] = path.read_text(encoding="utf-8")
        found["modes"] = [stat.S_IMODE(item.stat().st_mode) for item in (path, path.parent)]

    address, warned = run_by(look)
    token = address.partition("#")[2]
    assert token
    assert token not in found["way"]
    assert f'content="0; url={address}"' in found["text"]
    assert found["modes"] == [0o600, 0o700]
    assert not found["path"].parent.exists()
    assert warned == []


def test_where_no_browser_or_no_file_can_be_the_address_is_to_be_opened_by_hand(run_by, monkeypatch):
    asked = threading.Event()

    def cannot(_way: str) -> bool:
        asked.set()
        return False

    monkeypatch.setattr(webbrowser, "open", cannot)
    _, warned = run_by(lambda: None)
    assert asked.wait(20)
    wait.until(lambda: warned or wait.NotYet("nothing"), what="the warning", timeout=20)
    assert warned == [BY_HAND]
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    _, warned = run_by(lambda: None)
    assert "open the address by hand" in warned[0]


def test_without_the_extra_the_verb_says_what_to_install(monkeypatch):
    monkeypatch.setattr(serve, "find_spec", lambda _name: None)
    with pytest.raises(Unfit, match=r"starlette and uvicorn.*overlay-lab\[serve\]") as caught:
        serve.require_server()
    assert "\n" not in caught.value.message


def test_the_vendored_library_has_its_licence():
    text = (STATIC / "vendor" / "cytoscape.LICENSE.txt").read_text(encoding="utf-8")
    assert "Permission is hereby granted, free of charge" in text
    assert json.loads((STATIC / "vendor" / "versions.json").read_text(encoding="utf-8"))["cytoscape"]
