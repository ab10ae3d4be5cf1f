"""The corpus G9 beyond lines: what servers list, and what calls and reads ask for, before the real flows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from taskbound.core.tool import ServerIdentity
from tests.corpus.g9 import FILES, rows
from tests.sqlite import sqlite_store
from tests.world import ANN, LOOK, PAY, World, code_of

Row = Mapping[str, Any]
READ = "files__resources/read"
FILES_SERVER = ServerIdentity(namespace="default", command="/f", resolved="/f", sha256="1" * 64)
BENEATH = {"grants": [{"tool": READ, "arguments": {"uri": {"glob": "file:///srv/**"}}}]}


@pytest.fixture
def world() -> World:
    return World(store=sqlite_store())


def identified(found: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", found, ids=[row["id"] for row in found])


def decided(world: World) -> list[str]:
    """What each decision on record was, or why it was no permit."""
    found = world.events("action-decided")
    return [one["decision"] if one["decision"] == "permit" else one["reasons"][0] for one in found]


def test_each_row_stands_once_and_each_refused_one_has_one_harmless_twin() -> None:
    found = [row for name in FILES for row in rows(name)]
    by_id = {row["id"]: row for row in found}
    assert len(by_id) == len(found)
    twins = {row["twin_of"]: row for row in found if "twin_of" in row}
    assert sorted(twins) == sorted(row["id"] for row in found if "twin_of" not in row)
    for name, twin in twins.items():
        assert twin["expect"] in {"ok", "permit"}
        assert by_id[name]["expect"] not in {"ok", "permit"}


@identified(list(rows("g9-tools")))
def test_g9_what_a_server_lists_is_held_against_its_pin_and_shown_in_letters_that_all_can_see(
    world: World, row: Row
) -> None:
    task = world.settle_in()
    with world.store.read() as snapshot:
        server, pin = snapshot.tools.server("default", "bank"), snapshot.tools.tool("default", "bank__pay")
    assert server is not None
    assert pin is not None
    raws = [json.dumps(one).encode() for one in row["lists"]]
    identity = row.get("identity", server.identity)
    seen = world.sights.see("default", "bank", identity, raws, agent="coder")
    states = {one.tool: one.state for one in seen}
    assert states.get("bank__pay", "ok") == row["expect"]
    assert code_of(world.ask(task)) == row["decision"]
    for one in seen:
        for words in one.words:
            assert words.isascii()
            assert words.isprintable()
    said = " ".join(words for one in seen for words in one.words)
    assert [one for one in row["says"] if one not in said] == []
    with world.store.read() as snapshot:
        kept = snapshot.tools.tool("default", "bank__pay")
    assert kept is not None
    assert kept.definition == pin.definition, "what agents are shown is what a person pinned"
    assert decided(world) == [row["decision"]]


@identified([row for row in rows("g9-arguments") if "uri" not in row["arguments"]])
def test_g9_an_argument_that_no_grant_mentions_is_refused_and_recorded(world: World, row: Row) -> None:
    task = world.settle_in()
    assert code_of(world.ask(task, "bank__pay", row["arguments"])) == row["expect"]
    assert decided(world) == [row["expect"]]


@identified([row for row in rows("g9-arguments") if "uri" in row["arguments"]])
def test_g9_a_uri_that_leads_out_of_what_is_granted_is_refused_and_recorded(world: World, row: Row) -> None:
    world.settle_in()
    wide = {"grants": [{"tool": READ, "others": "any"}]}
    world.add_agent("reader", ceiling=wide)
    world.pins.add("files", FILES_SERVER, b"{}", [], agents=(), actor=ANN, methods=("resources/read",))
    task = world.start(scope=BENEATH, agent="reader")
    assert code_of(world.ask(task, READ, row["arguments"], agent="reader")) == row["expect"]
    assert decided(world) == [row["expect"]]


def test_the_rows_of_servers_begin_with_what_was_pinned() -> None:
    assert any(row["lists"] == [PAY, LOOK] for row in rows("g9-tools"))
