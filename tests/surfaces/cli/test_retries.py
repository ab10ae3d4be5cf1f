from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import CedarPolicyEngine, base_bundle
from tests.house.tree import ROOT
from tests.surfaces.cli.asking import Asking, asking
from tests.surfaces.cli.installation import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.surfaces.cli.installation import Ended, Installation

PAGE = (ROOT / "docs/guides/retries.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(
        r"^```sh\n(.*?)^```", PAGE.partition("## When a row shows")[0], re.MULTILINE | re.DOTALL
    )
    for line in block.splitlines()
]


@pytest.fixture
def place(fresh: Installation) -> Installation:
    fresh.prepare()
    fresh.start_task(scope=fresh.scope({"tool": "fs__write", "others": "any"}))
    return fresh


@pytest.fixture
def ask(place: Installation) -> Iterator[Asking]:
    with asking(place) as one:
        yield one


def write(ask: Asking) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask('{"path":"/a"}'))
    return found


def lose(ask: Asking) -> str:
    """A call whose outcome nobody knows; its id."""
    permitted = write(ask)
    assert permitted["is"] == "permitted", permitted
    ask(json.dumps({"outcome": "unknown", "action": permitted["action"]}))
    return str(permitted["action"])


def as_written(place: Installation, number: int, action: str = "") -> Ended:
    """The command of the page, with this world's names in it."""
    line = COMMANDS[number].replace("act_…", action).replace("bank__pay", "fs__write")
    words = shlex.split(line.removeprefix("taskbound "))
    asks = {"reconcile", "declare"} & set(words)
    done = place(*words, *(["--yes"] if asks else []))
    assert done.status == 0, done
    return done


def test_the_page_s_commands_find_out_what_became_of_a_call_and_declare_what_may_be_repeated(
    place: Installation, ask: Asking
) -> None:
    assert [line.split(" act_…")[0].split(" bank__pay")[0] for line in COMMANDS] == [
        "taskbound action list", "taskbound approval list", "taskbound action reconcile",
        "taskbound action explain", "taskbound tool declare", "taskbound tool list", "taskbound tool declare",
    ]  # fmt: skip  # all that the page says, in order
    lost = lose(ask)
    assert write(ask)["code"] == "held"
    assert "unknown" in as_written(place, 0).out
    assert "`confirm` has 0 of 1" in as_written(place, 1).out
    assert "failed" in as_written(place, 2, lost).out
    explained = as_written(place, 3, lost)
    assert "the ledger has no such entry" in explained.out
    second = lose(ask)
    assert second != lost
    assert write(ask)["code"] == "held"

    as_written(place, 4)
    assert "write (idempotent)" in as_written(place, 5).out
    assert write(ask)["is"] == "permitted", "a repeat asks nobody"
    as_written(place, 6)
    assert write(ask)["code"] == "held", "the one before is on its way, or was"


def test_what_is_no_unknown_outcome_is_not_reconciled_and_the_log_says_who_did_it(
    place: Installation, ask: Asking
) -> None:
    words = ("--note", "looked", "--yes")
    permitted = write(ask)["action"]
    early = place("action", "reconcile", permitted, "failed", *words)
    assert (early.status, "wrong-state" in early.err) == (3, True)
    ask(json.dumps({"outcome": "unknown", "action": permitted}))
    for bad in ("", "maybe"):
        assert place("action", "reconcile", permitted, bad, *words).status == 2
    assert place("action", "reconcile", permitted, "failed", "--note", " ", "--yes").status == 2
    assert place("action", "reconcile", "act_none", "failed", *words).status == 3
    done = place("action", "reconcile", permitted, "succeeded", *words)
    assert done.status == 0, done.err
    again = place("action", "reconcile", permitted, "failed", *words)
    assert (again.status, "wrong-state" in again.err) == (3, True)
    shown = place("action", "show", permitted, "--json").document
    assert shown["row"]["state"] == "reconciled-succeeded"
    found: list[dict[str, Any]] = []
    for _ in range(200):  # a record gets its place in the log a moment after it is durable
        records = [json.loads(one) for one in place("audit", "tail", "--json").document["records"]]
        found = [one["event"] for one in records if one["event"]["kind"] == "action-reconciled"]
        if found:
            break
    assert [(one["by"], one["after"], one["note"]) for one in found] == [
        ("alice", "reconciled-succeeded", "looked")
    ]


def test_neither_is_done_from_beneath_a_gateway_or_a_run(place: Installation, ask: Asking) -> None:
    lost = lose(ask)
    for words in (
        ("tool", "declare", "fs__write", "--idempotent", "--yes"),
        ("tool", "declare", "fs__write", "--probe", "path=file:/srv", "--yes"),
        ("action", "reconcile", lost, "failed", "--note", "x", "--yes"),
    ):
        done = place.ended("run", "--agent", "helper", "--scope", place.scope(), "--", *PROGRAM, *words)
        assert done.status != 0
        assert "not-outside" in done.err, done


def test_the_page_s_policy_is_one_that_holds() -> None:
    (text,) = re.findall(r"^```cedar\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    engine = CedarPolicyEngine(base_bundle() + text)
    assert engine.reads >= {"attempt", "changed", "last_age"}
