from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from taskbound.adapters.upstream.mcp.http.probe import pin_url
from taskbound.adapters.upstream.mcp.probe import pin_server
from taskbound.surfaces.cli.clients.projects import projects_below
from taskbound.surfaces.cli.doctor.clients import look_at_clients
from taskbound.surfaces.cli.screen import ascii_json
from taskbound.wiring.cli import make_plugs
from tests.surfaces.cli.installation import ECHO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.cli.doctor.findings import Finding
    from taskbound.wire.tool import ServerSpec

CURSOR = ".cursor/mcp.json"


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "here").mkdir()
    return tmp_path


def put(path: Path, **servers: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    key = "servers" if ".vscode" in path.parts else "mcpServers"
    path.write_text(json.dumps({key: servers}, indent=1), encoding="utf-8")


def look(person: Path, *pinned: ServerSpec, agents: dict[str, JsonValue] | None = None) -> Sequence[Finding]:
    return list(
        look_at_clients(
            home=person / "data",
            person=person,
            folder=person / "here",
            namespace="default",
            environ={"PATH": os.environ["PATH"]},
            agents=agents,
            pinned=pinned,
            floating=make_plugs({}).floating,
        )
    )


def named(found: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(one.level, one.name) for one in found]


def gateway(person: Path, **more: str) -> dict[str, object]:
    program = person / "bin/taskbound"
    program.parent.mkdir(exist_ok=True)
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    options = {"agent": "helper", "home": str(person / "data")} | more
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return {"command": str(program), "args": ["gateway", *words]}


def test_an_entry_that_is_not_gated_has_its_file_and_its_line_and_what_to_do(person: Path) -> None:
    put(person / CURSOR, fs={"command": "x"}, **{"w\u202e": {"url": "https://x.invalid", "oauth": {"a": 1}}})
    one, two = look(person)
    assert named([one, two]) == [("warn", "bypass")] * 2
    assert (one.path, one.line, two.line) == (str(person / CURSOR), 3, 6)
    assert "gate it with `taskbound init`" in one.advice
    assert "\\u{202E}" in two.text
    assert "signs in" in two.text
    assert "mend what keeps it there" in two.advice


def test_a_version_that_floats_is_said_to_and_init_is_not_advised(person: Path) -> None:
    put(
        person / CURSOR,
        floats={"command": "npx", "args": ["-y", "@acme/search"]},
        hidden={"command": "sh", "args": ["-c", "serve"]},
        exact={"command": "npx", "args": ["-y", "@acme/search@1.2.3"]},
    )
    floats, hidden, exact = look(person)
    assert "`@acme/search` names no exact version" in floats.text
    assert "hides the programs" in hidden.text
    assert ["taskbound init" in one.advice for one in (floats, hidden, exact)] == [False, False, True]


def test_a_pinned_server_that_is_started_directly_as_well_is_bad(person: Path) -> None:
    spec = pin_server("fs", [sys.executable, str(ECHO)], environment={}, directory=str(person))
    link = person / "link.py"
    link.symlink_to(ECHO)
    put(
        person / CURSOR,
        same={"command": sys.executable, "args": [str(ECHO)]},
        link={"command": sys.executable, "args": [str(link)]},
        other={"command": sys.executable, "args": [str(ECHO), "--lax"]},
        gate=gateway(person),
    )
    found = look(person, spec)
    assert named(found) == [
        ("bad", "gated-and-direct"),
        ("bad", "gated-and-direct"),
        ("warn", "bypass"),
        ("ok", "gated"),
    ]
    assert "pinned as `fs`" in found[0].text
    assert named(look(person)) == [*[("warn", "bypass")] * 3, ("ok", "gated")]


def test_a_script_that_finds_its_interpreter_itself_is_known_again(person: Path) -> None:
    script = person / "server"
    script.write_text(f"#!/usr/bin/env {Path(sys.executable).name}\n", encoding="utf-8")
    script.chmod(0o755)
    path = f"{Path(sys.executable).parent}:/usr/bin"
    spec = pin_server("fs", [str(script), "a"], environment={"PATH": path}, directory=str(person))
    put(person / CURSOR, a={"command": str(script), "args": ["a"]}, b={"command": str(script), "args": ["b"]})
    assert named(look(person, spec)) == [("bad", "gated-and-direct"), ("warn", "bypass")]


def test_a_pinned_url_that_is_reached_directly_as_well_is_bad(person: Path) -> None:
    spec = pin_url("wiki", "https://wiki.example.com/mcp", headers={})
    put(
        person / CURSOR,
        same={"url": "HTTPS://wiki.example.com:443/mcp?token=s3cret"},
        other={"url": "https://wiki.example.com/other"},
        odd={"url": "wiki"},
    )
    found = look(person, spec)
    assert named(found) == [("bad", "gated-and-direct"), ("warn", "bypass"), ("warn", "bypass")]
    assert "s3cret" not in "".join(one.text for one in found)


def test_an_entry_of_ours_that_leads_nowhere_is_said_to(person: Path) -> None:
    gone = gateway(person) | {"command": str(person / "gone/taskbound")}
    put(
        person / CURSOR,
        gone=gone,
        other=gateway(person, home=str(person / "elsewhere")),
        agent=gateway(person, agent="nobody"),
        space=gateway(person, agent="nobody", namespace="team"),
        right=gateway(person),
    )
    found = look(person, agents={"helper": {}})
    assert named(found) == [
        ("bad", "gateway-missing"),
        ("warn", "other-home"),
        ("bad", "agent-missing"),
        ("ok", "gated"),
    ]
    assert "agent-missing" not in {name for _, name in named(look(person))}, "nobody knows without a daemon"
    program = person / "bin/taskbound"
    program.chmod(stat.S_IRUSR)
    assert ("bad", "gateway-missing") in named(look(person)) or os.geteuid() == 0


def test_files_of_projects_are_found_in_what_is_granted_and_in_what_a_client_knows(person: Path) -> None:
    put(person / "work/deep/er/.vscode/mcp.json", granted={"command": "x"})
    put(person / "work/.cursor/mcp.json", root={"command": "x"})
    put(person / "work/node_modules/y/.mcp.json", passed={"command": "x"})
    put(person / "code/.mcp.json", known={"command": "x"})
    put(person / "here/.mcp.json", here={"command": "x"})
    put(person / "other/.mcp.json", nobody={"command": "x"})
    (person / ".claude.json").write_text(
        json.dumps({"projects": {str(person / "code"): {}, "odd": {}}}), encoding="utf-8"
    )
    ceiling: JsonValue = {
        "grants": [{"tool": "fs__read", "arguments": {"path": {"any": [{"below": str(person / "work")}]}}}]
    }
    found = look(person, agents={"helper": ceiling})
    assert [one.text.split("`")[1] for one in found] == ["here", "root", "granted", "known"]
    assert [one.text.split("`")[1] for one in look(person)] == ["here", "known"]


def test_more_than_is_looked_through_is_said(person: Path) -> None:
    put(person / "work/1/2/3/4/5/.mcp.json", deep={"command": "x"})
    ceiling: JsonValue = {"below": str(person / "work")}
    assert named(look(person, agents={"helper": ceiling})) == [("warn", "not-all-seen")]


def test_a_file_that_can_not_be_read_is_named(person: Path) -> None:
    (person / ".cursor").mkdir()
    (person / CURSOR).write_text('{"mcpServers": {"a": 1, "a": 2}}', encoding="utf-8")
    put(person / "here/.mcp.json", here={"command": "x"})
    one, other = look(person)
    assert (one.level, one.name, one.path) == ("warn", "unreadable", str(person / CURSOR))
    assert "stands twice" in one.text
    assert other.name == "bypass"


def test_our_own_front_is_no_bypass_and_not_believed(person: Path) -> None:
    put(person / CURSOR, front={"url": "http://127.0.0.1:8701/mcp/helper"})
    (one,) = look(person)
    assert (one.level, one.name) == ("warn", "front")
    assert "or what looks like one" in one.text


def test_a_directory_that_nobody_may_look_into_counts_as_a_project() -> None:
    account = os.geteuid()
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        hidden = Path(name) / "project/.cursor"
        hidden.mkdir(parents=True)
        hidden.chmod(0o000)
        if account == 0:
            os.seteuid(65_534)  # root may look into everything
        try:
            assert projects_below([name]) == ((Path(name) / "project",), True)
        finally:
            os.seteuid(account)
            hidden.chmod(0o700)


def test_a_directory_whose_name_is_no_text_is_named_in_json_too(person: Path) -> None:
    odd = person / "work" / os.fsdecode(b"d\xff")
    put(odd / CURSOR, fs={"command": "x"})
    (odd / ".mcp.json").write_text("{ broken", encoding="utf-8")
    found = look(person, agents={"helper": {"below": str(person / "work")}})
    assert sorted(named(found)) == [("warn", "bypass"), ("warn", "unreadable")]
    document = ascii_json(found)
    assert document.count("DCFF") >= len(found), document


@pytest.mark.parametrize("more", [{"env": {"LD_PRELOAD": "/evil.so"}}, {"envFile": "/evil.env"}])
def test_our_gateway_with_variables_of_somebody_else_is_not_said_to_gate(
    person: Path, more: dict[str, object]
) -> None:
    ours = gateway(person)
    put(person / CURSOR, taskbound=ours | {"env": {"TASKBOUND_LOG": "x"}})
    assert named(look(person)) == [("ok", "gated")]
    put(person / CURSOR, taskbound=ours | more)
    (one,) = look(person)
    assert (one.level, one.name, "decide what runs" in one.text) == ("warn", "bypass", True)
