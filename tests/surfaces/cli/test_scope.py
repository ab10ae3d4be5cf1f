from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.scope import parse_scope
from taskbound.core.scope.schema import scope_schema
from tests.surfaces.cli.installation import Installation, Typing

READ = "grants:\n  - tool: fs__read\n    arguments: {path: {below: /home/u}}\n    uses: 3\n"


@pytest.fixture
def files(place: Installation) -> Path:
    for old in place.project.iterdir():
        old.unlink()
    (place.project / "read.yaml").write_text(READ, encoding="utf-8")
    return place.project


def grants(*some: dict[str, Any]) -> str:
    return json.dumps({"grants": list(some)})


@pytest.mark.usefixtures("files")
def test_check_says_what_a_scope_permits_and_never_can(place: Installation) -> None:
    told = place("scope", "check", "read.yaml")
    assert (told.status, told.err) == (0, "")
    assert "permits  g0: may call `fs__read` up to 3 times; with `path` a path at or below" in told.out
    assert "call another tool; of those that are pinned: `fs__drop`, `fs__write`" in told.out
    assert "by g0, give `fs__read` anything but the default for `text`" in told.out
    assert "ok    nothing is wide open" in told.out


def test_check_finds_a_misspelt_argument_and_tool_at_its_line_and_ends_with_1(
    place: Installation, files: Path
) -> None:
    text = READ.replace("path:", "paht:") + "  - {tool: fs__raed, uses: 1}\n"
    (files / "slip.yaml").write_text(text, encoding="utf-8")
    told = place("scope", "check", "slip.yaml")
    assert told.status == 1
    assert "it has no `paht`; is `path` meant? (slip.yaml:3:17)" in told.out
    assert "g1: `fs__raed` is no pinned tool; is `fs__read` meant? (slip.yaml:5:5)" in told.out
    assert "g0: covers no valid call: `fs__read` must be given `path`" in told.out
    steps = json.dumps(
        {
            "steps": [
                {"name": "a", "grants": [{"tool": "fs__read"}]},
                {"name": "b", "grants": [{"tool": "no__such"}]},
            ]
        },
        indent=1,
    )
    (files / "steps.json").write_text(steps, encoding="utf-8")
    told = place("scope", "check", "steps.json")
    assert "`no__such` is no pinned tool (steps.json:14:5)" in told.out


def test_breadth_is_told_and_is_an_error_only_to_the_strict(place: Installation, files: Path) -> None:
    (files / "wide.json").write_text(grants({"tool": "fs__drop", "others": "any"}), encoding="utf-8")
    told = place("scope", "check", "wide.json")
    assert told.status == 0
    assert "wide  g0: any other argument may be anything" in told.out
    assert "`fs__drop` may destroy something" in told.out
    assert place("scope", "check", "wide.json", "--strict").status == 1
    assert place("scope", "check", "read.yaml", "--strict").status == 0


def test_check_as_json_is_one_document_with_codes_and_places(place: Installation, files: Path) -> None:
    (files / "wide.yaml").write_text("grants:\n  - tool: fs__drop\n    others: any\n", encoding="utf-8")
    document = place("scope", "check", "wide.yaml", "--json").document
    assert (document["is"], document["tools"], document["grants"]) == ("checked", True, 1)
    assert {(one["code"], one["weight"], one["where"]) for one in document["remarks"]} == {
        ("others-any", "breadth", "wide.yaml:2:5"),
        ("uses-unlimited", "breadth", "wide.yaml:2:5"),
        ("destructive", "breadth", "wide.yaml:2:5"),
    }


def test_without_a_daemon_a_scope_is_looked_at_by_its_text_alone(fresh: Installation) -> None:
    (fresh.project / "read.yaml").write_text(READ, encoding="utf-8")
    told = fresh("scope", "check", "read.yaml")
    assert told.status == 0
    assert "without the pinned tools" in told.err
    assert "call any tool but `fs__read`" in told.out
    assert "no tools were at hand" in told.out
    quiet = fresh("scope", "check", "read.yaml", "--offline")
    assert (quiet.status, quiet.err) == (0, "")
    assert not fresh.home.exists(), "nothing was made"


def test_tools_can_come_from_a_file(place: Installation, fresh: Installation) -> None:
    listed = place("tool", "list", "--json").out
    (fresh.project / "tools.json").write_text(listed, encoding="utf-8")
    (fresh.project / "slip.yaml").write_text(READ.replace("path:", "paht:"), encoding="utf-8")
    told = fresh("scope", "check", "slip.yaml", "--tool-definitions", "tools.json")
    assert (told.status, "is `path` meant?" in told.out) == (1, True)
    for text in ("{}", '{"rows": [{"name": "x"}]}', '{"rows": [{"name": "x", "raw": {}}]}', "[]", "rows: 1"):
        (fresh.project / "bad").write_text(text, encoding="utf-8")
        told = fresh("scope", "check", "slip.yaml", "--tool-definitions", "bad")
        assert (told.status, "[bad-input]" in told.err) == (2, True), text


def test_a_scope_is_taken_from_a_template_a_task_an_agent_and_standard_input(
    place: Installation, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place("template", "save", "reading", "--scope", "read.yaml").status == 0
    task = place.start_task(scope=str(files / "read.yaml"))
    digest = place("scope", "digest", "read.yaml").out
    assert (
        digest.strip()
        == parse_scope(
            {"grants": [{"tool": "fs__read", "arguments": {"path": {"below": "/home/u"}}, "uses": 3}]}
        ).digest
    )
    assert place("scope", "digest", "template:reading").out == digest
    assert place("scope", "digest", f"task:{task}").out == digest
    assert place("scope", "digest", "agent:helper").out != digest
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(READ.encode())))
    assert place("scope", "digest", "-").out == digest
    document = place("scope", "digest", "read.yaml", "--json").document
    assert document == {"is": "scope-digest", "name": "read.yaml", "digest": digest.strip()}
    (files / "template:reading").write_text(READ, encoding="utf-8")
    assert place("scope", "digest", "./template:reading").out == digest
    place("task", "end", task, "--yes")


@pytest.mark.parametrize(
    ("told", "status", "code"),
    [
        ("template:nothing", 2, "bad-input"),
        ("agent:nobody", 3, "unknown-identity"),
        ("none.yaml", 4, "file-unavailable"),
        ("task:tsk_~aaaaaaaa", 2, "bad-input"),
    ],
)
def test_what_is_not_there_is_named(place: Installation, told: str, status: int, code: str) -> None:
    ended = place("scope", "check", told)
    assert (ended.status, f"[{code}]" in ended.err, ended.out) == (status, True, "")


@pytest.mark.parametrize(
    ("change", "direction", "status"),
    [
        (("uses: 3", "uses: 3"), "same", 0),
        (("uses: 3", "uses: 2"), "narrower", 0),
        (("/home/u", "/home/u/project"), "narrower", 0),
        (("uses: 3", "uses: 4"), "wider", 1),
        (("/home/u", "/home"), "wider", 1),
        (("fs__read", "fs__write"), "other", 1),
    ],
)
def test_diff_says_how_a_new_scope_compares_and_ends_with_1_when_it_permits_more(
    place: Installation, files: Path, change: tuple[str, str], direction: str, status: int
) -> None:
    (files / "new.yaml").write_text(READ.replace(*change), encoding="utf-8")
    told = place("scope", "diff", "read.yaml", "new.yaml")
    assert (told.status, told.out.split(":")[0].removeprefix("the ")) == (status, direction)
    ended = place("scope", "diff", "read.yaml", "new.yaml", "--json")
    assert (ended.status, json.loads(ended.out)["direction"]) == (status, direction)


def test_diff_shows_a_call_that_only_the_wider_scope_permits(place: Installation, files: Path) -> None:
    (files / "new.yaml").write_text(READ.replace("/home/u", "/home"), encoding="utf-8")
    told = place("scope", "diff", "read.yaml", "new.yaml").out
    assert "+     new g0 (`fs__read`): more than old g0, which is nearest: `path`" in told
    assert 'only here  `{"path":"/home"}`' in told
    document = json.loads(place("scope", "diff", "new.yaml", "read.yaml", "--json").out)
    assert document["added"] == []
    (removed,) = document["removed"]
    assert (removed["grant"], removed["against"], removed["example"]) == ("g0", "g0", {"path": "/home"})
    other = grants({"tool": "fs__write", "uses": 1})
    (files / "other.json").write_text(other, encoding="utf-8")
    told = place("scope", "diff", "read.yaml", "other.json").out
    assert "the old scope doesn't name the tool" in told
    assert "the new scope doesn't name the tool" in told


def test_covers_is_yes_with_shares_or_no_with_reasons(place: Installation, files: Path) -> None:
    (files / "child.yaml").write_text(READ.replace("uses: 3", "uses: 2"), encoding="utf-8")
    told = place("scope", "covers", "read.yaml", "child.yaml")
    assert told.status == 0
    assert told.out.startswith("yes")
    assert "g0 by g0  takes 2 of g0/uses" in told.out
    document = place("scope", "covers", "agent:helper", "child.yaml", "--json").document
    assert (document["covers"], document["shares"]) == (True, [{"child": "g0", "parent": "g0", "taken": {}}])
    told = place("scope", "covers", "child.yaml", "read.yaml")
    assert told.status == 1
    assert told.out.startswith("not shown")
    ended = place("scope", "covers", "child.yaml", "agent:helper", "--json")
    document = json.loads(ended.out)
    assert (ended.status, document["covers"], len(document["uncovered"])) == (1, False, 3)


def test_intersect_writes_what_both_permit(place: Installation, files: Path) -> None:
    (files / "other.yaml").write_text(READ.replace("/home/u", "/home/u/project"), encoding="utf-8")
    told = place("scope", "intersect", "read.yaml", "other.yaml")
    assert (told.status, told.out) == (
        0,
        READ.replace("/home/u", "/home/u/project").replace(
            "arguments: {path: {below: /home/u/project}}", "arguments:\n      path: {below: /home/u/project}"
        ),
    )
    document = place("scope", "intersect", "read.yaml", "other.yaml", "--json", "--out", "both.yaml").document
    assert parse_scope(document["scope"]).digest == document["digest"]
    assert place("scope", "digest", "both.yaml").out.strip() == document["digest"]
    (files / "apart.yaml").write_text(READ.replace("/home/u", "/srv"), encoding="utf-8")
    told = place("scope", "intersect", "read.yaml", "apart.yaml")
    assert (told.status, told.out) == (1, "nothing is permitted by both\n")
    assert "left out: g0 with g0: `path`" in told.err
    ended = place("scope", "intersect", "read.yaml", "apart.yaml", "--json")
    assert (ended.status, json.loads(ended.out)["scope"], ended.err) == (1, None, "")


def test_convert_goes_both_ways_and_keeps_the_digest(place: Installation, files: Path) -> None:
    told = place("scope", "convert", "read.yaml")
    assert json.loads(told.out)["grants"][0]["uses"] == 3
    assert place("scope", "convert", "read.yaml", "--out", "read.json").status == 0
    assert (files / "read.json").read_bytes() == parse_scope(json.loads(told.out)).canonical + b"\n"
    told = place("scope", "convert", "read.json")
    assert told.out.startswith("grants:\n  - tool: fs__read\n")
    assert place("scope", "convert", "read.yaml", "--to", "yaml").out == told.out
    assert place("scope", "convert", "read.json", "--json").document["grants"][0]["uses"] == 3
    assert (
        place("scope", "convert", "read.json", "--out", "again.yaml", "--json").document["path"]
        == "again.yaml"
    )
    digests = {place("scope", "digest", name).out for name in ("read.yaml", "read.json", "again.yaml")}
    assert len(digests) == 1
    ended = place("scope", "convert", "read.yaml", "--to", "toml")
    assert (ended.status, "[bad-input]" in ended.err) == (2, True)


def test_the_schema_is_printed_and_written(place: Installation, files: Path) -> None:
    assert json.loads(place("scope", "schema").out) == scope_schema()
    assert place("scope", "schema", "--json").document == scope_schema()
    assert place("scope", "schema", "--grant", "--json").document["title"] == "Taskbound grant"
    assert place("scope", "schema", "--out", "s.json").status == 0
    assert json.loads((files / "s.json").read_bytes()) == scope_schema()


HOSTILE = "\x1b[2J\u202e\r\n  ok    nothing is wide open\u200b`x`"


@pytest.mark.parametrize(
    "words",
    [
        ("check", "hostile.json"),
        ("diff", "hostile.json", "read.yaml"),
        ("diff", "read.yaml", "hostile.json"),
        ("covers", "read.yaml", "hostile.json"),
        ("intersect", "hostile.json", "hostile.json"),
        ("intersect", "hostile.json", "other.json"),
        ("convert", "hostile.json"),
        ("convert", "hostile.json", "--to", "json"),
        ("check", "bad.json"),
        ("check", "bad.yaml"),
        ("check", HOSTILE.replace("/", "")),
        ("digest", f"template:{HOSTILE}"),
    ],
    ids=lambda one: " ".join(one)[:40].encode("unicode_escape").decode(),
)
def test_no_text_of_a_scope_or_its_name_reaches_the_terminal_as_it_is(
    place: Installation, files: Path, words: tuple[str, ...]
) -> None:
    key = json.dumps(HOSTILE)
    hostile = {"tool": "fs__read", "arguments": {key: {"equals": HOSTILE}, "text": {"prefix": f"/{HOSTILE}"}}}
    (files / "hostile.json").write_text(grants(hostile), encoding="utf-8")
    (files / "other.json").write_text(
        grants({**hostile, "arguments": {key: {"equals": 1}}}), encoding="utf-8"
    )
    bad = json.dumps({"grants": [{"tool": HOSTILE}]}, ensure_ascii=False)
    (files / "bad.json").write_text(bad, encoding="utf-8")
    (files / "bad.yaml").write_text(f"grants:\n- tool: {HOSTILE}\n", encoding="utf-8")
    told = place("scope", *words)
    everything = told.out + told.err
    assert everything
    for char in "\x1b\u202e\r\u200b":
        assert char not in everything
    if words[0] == "check":
        assert "\n  ok " not in everything
    if "convert" in words:
        (files / "again").write_text(told.out, encoding="utf-8")
        assert place("scope", "digest", "again").out == place("scope", "digest", "hostile.json").out


def test_in_a_terminal_the_lines_of_a_scope_are_whole_and_without_color(
    place: Installation, files: Path
) -> None:
    (files / "long.yaml").write_text(
        READ.replace("/home/u", "/home/" + "long-name/" * 8 + "x"), encoding="utf-8"
    )
    typing = Typing(place, "scope", "convert", "long.yaml", "--to", "yaml", width=40)
    assert typing.end() == 0
    assert "below: /home/" + "long-name/" * 8 + "x\r\n" in typing.seen
    assert "\x1b" not in typing.seen
