from __future__ import annotations

import json
import socket
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from taskbound.adapters.upstream.mcp.http.probe import pin_url
from taskbound.adapters.upstream.mcp.probe import pin_server
from taskbound.core.tool.slot import parse_slot
from taskbound.surfaces.cli.doctor.processes import look_at_processes
from tests.conformance.places import everything
from tests.surfaces.cli.installation import ECHO
from tests.surfaces.cli.speaking import HELLO, ask, started

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from taskbound.surfaces.cli.doctor.findings import Finding
    from tests.surfaces.cli.installation import Installation


def named(found: Sequence[Finding], name: str) -> list[Finding]:
    return [one for one in found if one.name == name]


def test_a_pinned_server_that_somebody_else_started_is_found_and_says_who(tmp_path: Path) -> None:
    words = [sys.executable, str(ECHO), "--log", str(tmp_path / "log")]
    spec = pin_server("fs", words, environment={}, directory=str(tmp_path))
    assert named(list(look_at_processes([spec])), "started-directly") == []
    with started(words) as server, started([*words, "--lax"]) as other:
        for one in (server, other):
            ask(one, 1, "initialize", HELLO)
        (found,) = named(list(look_at_processes([spec])), "started-directly")
        assert found.level == "bad"
        assert f"process {server.pid} runs what is pinned as `fs`, beneath process" in found.text
        assert "ps -fp" in found.advice
        for one in (server, other):
            one.kill()


@pytest.mark.parametrize(
    ("before", "found"),
    [
        (("taskbound", "gateway"), 0),
        (("taskbound", "run", "--", "taskbound", "gateway"), 1),
        (("client", "taskbound", "gateway"), 1),
        (("taskbound",), 1),
    ],
)
def test_who_stands_above_counts_by_what_it_runs_and_not_by_what_it_is_told(
    before: tuple[str, ...], found: int, tmp_path: Path
) -> None:
    script = tmp_path / before[0]
    script.write_text("import subprocess, sys\nsubprocess.run(sys.argv[-3:])\n", encoding="utf-8")
    words = [sys.executable, str(ECHO), "--lax"]
    spec = pin_server("fs", words, environment={}, directory=str(tmp_path))
    with started([sys.executable, "-P", "-X", "utf8", str(script), *before[1:], *words]) as above:
        ask(above, 1, "initialize", HELLO)
        assert len(named(list(look_at_processes([spec])), "started-directly")) == found
        assert above.stdin is not None
        above.stdin.close()
        above.wait()


def test_what_a_gateway_started_is_its_own_and_what_its_run_started_is_not(place: Installation) -> None:
    task = place.start_task()
    gateway = (sys.executable, "-m", "taskbound.wiring.cli", "gateway", "--agent", "helper")
    try:
        with started(gateway, place.environ) as agent, started(place.server) as direct:
            ask(agent, 1, "initialize", HELLO)
            arguments = {"path": "/x", "text": "y"}
            said = ask(agent, 2, "tools/call", {"name": "fs__read", "arguments": arguments})
            assert "result" in str(said)
            ask(direct, 1, "initialize", HELLO)
            done = place("doctor", "--json")
            (found,) = [one for one in json.loads(done.out)["findings"] if one["name"] == "started-directly"]
            assert f"process {direct.pid} runs" in found["text"]
            assert (done.status, json.loads(done.out)["healthy"]) == (1, False)
            direct.kill()
            direct.wait()
            assert "started-directly" not in place("doctor", "--json").out
            agent.kill()
    finally:
        place("task", "end", task, "--yes")


def test_who_speaks_to_a_server_of_this_machine_past_the_gateway_is_named() -> None:
    with everything() as url:
        spec = pin_url("all", url, headers={})
        quiet = list(look_at_processes([spec]))
        assert [one.name for one in quiet] == ["reachable"]
        assert "have it want a credential" in quiet[0].advice
        guarded = pin_url("all", url, headers={}, slots=(parse_slot("header:authorization"),))
        (kept,) = look_at_processes([guarded])
        assert (kept.name, "want a credential" in kept.advice) == ("reachable", False)
        assert "without its secret" in kept.text
        with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)):
            (found,) = named(list(look_at_processes([spec])), "connected-directly")
        assert "`all`" in found.text
        assert found.level == "bad"
        assert named(list(look_at_processes([spec])), "connected-directly") == []
    assert list(look_at_processes([spec])) == [], "it listens no more"


def test_what_can_not_be_seen_is_said() -> None:
    far = pin_url("wiki", "https://wiki.example.com/mcp", headers={})
    (one,) = look_at_processes([far])
    assert (one.level, one.name, "`wiki`" in one.text) == ("warn", "not-seen", True)
    assert list(look_at_processes([])) == []
