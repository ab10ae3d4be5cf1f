from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.scope import parse_scope
from taskbound.wire.document import read_document

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.cli.installation import Installation

READING: dict[str, Any] = {"tool": "fs__read", "arguments": {"path": {"below": "/srv"}}, "others": "any"}


def test_the_first_person_may_grant_and_the_second_one_nothing_until_it_is_said(place: Installation) -> None:
    assert place("person", "add", "bea", "--uid", "12346").status == 0
    rows = {one["name"]: one for one in place("person", "list", "--json").document["rows"]}
    assert (rows["alice"]["grantable"], rows["bea"]["grantable"]) == ("ceiling", "nothing")
    assert "may grant  nothing" in place("person", "show", "bea").out
    assert place("person", "grantable", "bea", "--scope", place.scope(READING)).status == 0
    found = place("person", "show", "bea", "--json").document
    assert (found["may"], found["scope"]) == ("scope", {"grants": [READING]})
    assert "g0 of `bea`: may call `fs__read`" in place("person", "show", "bea").out
    assert place("person", "grantable", "bea", "--nothing").status == 0
    assert place("person", "show", "bea", "--json").document["may"] == "nothing"


def test_a_group_gives_its_members_what_it_may_grant(place: Installation) -> None:
    place("person", "add", "gil", "--uid", "12347")
    for words in (
        ("add", "readers"),
        ("join", "readers", "gil"),
        ("grantable", "readers", "--scope", place.scope(READING)),
    ):
        assert place("person", "group", *words).status == 0
    assert "readers" in place("person", "group", "list").out
    assert "members    gil" in place("person", "group", "show", "readers").out
    assert "g0 of group `readers`" in place("person", "show", "gil").out
    assert place("person", "group", "leave", "readers", "gil").status == 0
    assert place("person", "group", "show", "readers", "--json").document["members"] == []
    assert place("person", "show", "gil", "--json").document["may"] == "nothing"
    unknown = place("person", "group", "show", "none")
    assert (unknown.status, "[unknown-identity]" in unknown.err) == (3, True)


@pytest.mark.parametrize("words", [(), ("--ceiling", "--nothing"), ("--scope", "x", "--ceiling")])
def test_what_may_be_granted_is_said_in_one_way(place: Installation, words: tuple[str, ...]) -> None:
    done = place("person", "grantable", "alice", *words)
    assert (done.status, "[bad-input]" in done.err) == (2, True)


def test_a_task_wider_than_what_its_requester_may_grant_names_the_gap(place: Installation) -> None:
    assert place("person", "grantable", "alice", "--scope", place.scope(READING)).status == 0
    wide = place("task", "start", "--agent", "helper", "--scope", place.scope(), "--purpose", "x")
    assert (wide.status, "[outside-grantable]" in wide.err) == (3, True)
    assert "g0 of `alice`" in wide.err
    assert "path" in wide.err
    assert "no person may grant" not in place("doctor").out
    assert place("person", "grantable", "alice", "--nothing").status == 0
    assert "so no task starts" in place("doctor").out
    assert place("person", "grantable", "alice", "--ceiling").status == 0  # the data directory's owner may


def test_an_owner_changes_a_ceiling_and_a_wider_task_is_refused_then(place: Installation) -> None:
    before = place("agent", "show", "helper", "--json").document["ceiling"]
    asked = place("agent", "ceiling", "helper", place.scope(READING))
    assert (asked.status, "[needs-answer]" in asked.err) == (2, True)
    assert place("agent", "ceiling", "helper", place.scope(READING), "--yes").status == 0
    wide = place("task", "start", "--agent", "helper", "--scope", place.scope(), "--purpose", "x")
    assert (wide.status, "[outside-ceiling]" in wide.err) == (3, True)
    limited = place("agent", "ceiling", "helper", place.scope(READING | {"uses": 2}), "--yes")
    assert (limited.status, "[ceiling-limit]" in limited.err) == (2, True)
    old = place.root / "old.json"
    old.write_text(json.dumps(before), encoding="utf-8")
    assert place("agent", "ceiling", "helper", str(old), "--yes").status == 0


def learn(place: Installation, *words: str) -> Any:
    start = ("task", "start", "--learning", "--agent", "helper", "--scope", place.scope())
    return place(*start, "--purpose", "learn", *words)


def test_a_task_to_learn_from_is_shown_as_such_everywhere(place: Installation) -> None:
    task = learn(place, "--for", "14d", "--json").document["row"]["task"]
    assert "running (learning)" in place("task", "show", task).out
    assert "running (learning)" in place("task", "list").out
    rows = place("task", "list", "--json").document["rows"]
    assert [one["learning"] for one in rows if one["task"] == task] == [True]
    assert place.status().learning_tasks == 1
    assert "to learn from" in place("doctor").out
    ended = place("task", "end", task, "--yes")
    assert f"taskbound scope suggest --task {task}" in ended.err
    assert f"taskbound scope suggest --task {task}" in place("task", "show", task).err
    assert place.status().learning_tasks == 0
    plain = place.start_task()
    assert "learning" not in place("task", "end", plain, "--yes").err


def test_a_task_to_learn_from_lives_at_most_fourteen_days(place: Installation) -> None:
    late = learn(place, "--for", "14d1s")
    assert (late.status, "[bad-task]" in late.err) == (2, True)


def test_a_scope_is_suggested_from_a_file_of_calls_and_reads_back(
    place: Installation, tmp_path: Path
) -> None:
    calls = [{"tool": "fs__read", "arguments": {"path": f"/srv/a/{n}\u202e"}} for n in range(4)]
    calls += [{"tool": "fs__read", "arguments": {"path": f"/srv/b/{n}", "text": "t"}} for n in range(4)]
    lines, whole = tmp_path / "calls.jsonl", tmp_path / "calls.yaml"
    lines.write_text("\n".join(json.dumps(one) for one in calls), encoding="utf-8")
    whole.write_text(json.dumps(calls), encoding="utf-8")
    found = place("scope", "suggest", str(lines), "--agent", "helper", "--json").document
    (grant,) = found["scope"]["grants"]
    assert grant["arguments"]["path"] == {"below": "/srv"}
    assert grant["optional"] == ["text"]
    assert (found["within"], found["agent"], found["calls"]) == (True, "helper", 8)
    same = place("scope", "suggest", str(whole), "--json").document
    assert (same["scope"], same["agent"]) == (found["scope"], "")
    out = tmp_path / "out.yaml"
    assert place("scope", "suggest", str(lines), "--out", str(out)).status == 0
    text = out.read_text(encoding="utf-8")
    assert "\u202e" not in text
    assert "# g0 path: below" in text
    assert parse_scope(read_document(text.encode(), "out.yaml").value).value() == found["scope"]
    assert place("scope", "suggest", str(lines)).out == text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"tool": "fs__read"}\n{"tool": 1}', "bad-input"),
        ('{"tool": "fs__read", "arguments": []}', "bad-input"),
        ('{"tool": "fs__read", "more": 1}', "bad-input"),
        ('{"tool": "fs__read", "arguments": {"a": 1, "a": 2}}', "duplicate-key"),
        ('{"tool": "no tool at all"}', "scope-syntax"),
        ("[]", "nothing-to-suggest"),
    ],
)
def test_a_file_that_holds_no_calls_is_refused(
    place: Installation, tmp_path: Path, text: str, code: str
) -> None:
    path = tmp_path / "calls"
    path.write_text(text, encoding="utf-8")
    done = place("scope", "suggest", str(path))
    assert (done.status, f"[{code}]" in done.err) == (2, True), done


def test_a_scope_is_suggested_from_something(place: Installation) -> None:
    for words in ((), ("--since", "7d"), ("x", "--agent", "helper", "--since", "7d")):
        done = place("scope", "suggest", *words)
        assert (done.status, "[bad-input]" in done.err) == (2, True)
    task = place.start_task()
    empty = place("scope", "suggest", "--task", task)
    assert (empty.status, "[nothing-to-suggest]" in empty.err) == (2, True)
    place("task", "end", task, "--yes")
