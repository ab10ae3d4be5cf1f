from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types

from taskbound.core.tool import parse_definition
from taskbound.core.tool.file import parse_tool_file
from taskbound.core.tool.file.describe import describe_tool
from taskbound.surfaces.cli.server.tool_file import written
from taskbound.wire.document import read_document
from tests.house.tree import ROOT
from tests.surfaces.cli.installation import TOOLS

if TYPE_CHECKING:
    from tests.surfaces.cli.installation import Ended, Installation

PAGE = (ROOT / "docs/guides/tools.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture
def place(fresh: Installation) -> Installation:
    fresh.prepare()
    return fresh


def as_written(place: Installation, number: int, *more: str) -> Ended:
    """The command of the page, with this world's server in it."""
    line = re.sub(r"\bgit\b(?!\.yaml)", "fs", COMMANDS[number].removeprefix("taskbound "))
    return place(*shlex.split(line.partition(" -- ")[0]), *more)


def rows(place: Installation) -> dict[str, Any]:
    return {one["name"]: one for one in place("tool", "list", "--json").document["rows"]}


def records(place: Installation) -> int:
    lines = place("audit", "list", "--json").out
    return lines.count('"tool-declared"')


def test_the_page_s_commands_propose_a_file_apply_it_and_show_what_it_did(place: Installation) -> None:
    assert as_written(place, 0).status == 0
    file = place.project / "git.yaml"
    text = file.read_text(encoding="utf-8")
    before = rows(place)
    assert as_written(place, 1, "--yes").status == 0
    tightened = rows(place)
    assert {name: one["effect"] for name, one in tightened.items()} == {
        name: one["effect"] for name, one in before.items()
    }, "a proposed file loosens nothing"
    assert tightened["fs__read"]["roles"] == ["path=path", "text=content"]
    file.write_text(text.replace("effect: destructive", "effect: read"), encoding="utf-8")
    refused = as_written(place, 1, "--yes")
    assert (refused.status, "[relaxes]" in refused.err) == (3, True)
    assert "RELAXES" in refused.out
    assert rows(place) == tightened
    assert as_written(place, 2, "--yes").status == 0
    assert {one["effect"] for one in rows(place).values()} <= {"read", "write"}
    count = records(place)
    again = as_written(place, 2, "--yes")
    assert (again.status, "declared so already" in again.out) == (0, True)
    assert records(place) == count
    listed = as_written(place, 5)
    assert "its server says destructive" in listed.out
    assert "is worth a limit" in as_written(place, 6).out


def test_a_server_is_added_with_its_file_in_one_command(place: Installation) -> None:
    (place.project / "git.yaml").write_text("server: other\ntools: {read: {roles: {path: path}}}\n")
    words = shlex.split(
        COMMANDS[4].removeprefix("taskbound ").replace(" git ", " other ").partition(" -- ")[0]
    )
    done = place(*words, "--", *place.server)
    assert done.status == 0, done
    assert rows(place)["other__read"]["roles"] == ["path=path"]
    (place.project / "git.yaml").write_text("server: fs\ntools: {read: {}}\n")
    unfit = place("upstream", "add", "third", "--tools", "git.yaml", "--", *place.server)
    assert (unfit.status, "[bad-input]" in unfit.err) == (2, True)
    assert "third" not in place("upstream", "list").out


def test_a_mistake_in_a_file_is_said_with_line_and_column(place: Installation) -> None:
    file = place.root / "wrong.yaml"
    file.write_text("server: fs\ntools:\n  read:\n    effects: read\n", encoding="utf-8")
    refused = place("tool", "apply", str(file), "--yes")
    assert (refused.status, "[tool-file]" in refused.err) == (2, True)
    assert "wrong.yaml:4:5" in refused.err


def test_a_file_is_applied_to_the_one_server_that_it_fits(place: Installation) -> None:
    assert place("upstream", "add", "fs-two", "--", *place.server).status == 0
    file = place.root / "file.json"
    file.write_text(json.dumps({"server": "fs*", "tools": {"read": {"effect": "write"}}}), encoding="utf-8")
    several = place("tool", "apply", str(file), "--yes")
    assert (several.status, "--server" in several.err) == (2, True)
    assert place("tool", "apply", str(file), "--server", "fs-two", "--yes").status == 0
    assert (rows(place)["fs-two__read"]["effect"], rows(place)["fs__read"]["effect"]) == ("write", "read")
    other = place("tool", "apply", str(file), "--server", "none", "--yes")
    assert (other.status, "no server is pinned" in other.err) == (2, True)


def test_a_change_is_shown_whole_before_it_is_agreed_to(place: Installation) -> None:
    file = place.root / "file.json"
    people = [f"somebody-of-a-long-name-{number}" for number in range(9)]
    file.write_text(json.dumps({"server": "fs", "tools": {"read": {"approvers": people}}}), encoding="utf-8")
    done = place("tool", "apply", str(file), "--yes")
    assert all(name in done.out for name in people), done


def test_an_approver_who_is_named_where_nobody_was_needs_the_word_for_it(place: Installation) -> None:
    file = place.root / "file.json"
    file.write_text(json.dumps({"server": "fs", "tools": {"read": {"approvers": ["mallory"]}}}))
    refused = place("tool", "apply", str(file), "--yes")
    assert (refused.status, "[relaxes]" in refused.err, "RELAXES" in refused.out) == (3, True, True)


def test_nothing_is_applied_where_nobody_says_yes(place: Installation) -> None:
    file = place.root / "file.json"
    file.write_text(json.dumps({"server": "fs", "tools": {"read": {"effect": "write"}}}), encoding="utf-8")
    asked = place("tool", "apply", str(file))
    assert (asked.status, "[needs-answer]" in asked.err) == (2, True)
    assert rows(place)["fs__read"]["effect"] == "read"


def test_one_tool_s_effect_and_roles_are_declared_by_themselves(place: Installation) -> None:
    done = place("tool", "declare", "fs__write", "--effect", "read", "--role", "path=path", "--yes")
    assert done.status == 0, done
    assert "its server says" in place("tool", "list").out
    found = rows(place)["fs__write"]
    assert (found["effect"], found["roles"]) == ("read", ["path=path"])
    wrong = place("tool", "declare", "fs__write", "--role", "path=folder", "--yes")
    assert (wrong.status, "[bad-role]" in wrong.err) == (2, True)


def test_that_nobody_tells_an_outcome_is_declared_by_itself_or_by_a_file_that_needs_the_word_for_it(
    place: Installation,
) -> None:
    declared = place("tool", "declare", "fs__write", "--outcome", "unwatched", "--yes")
    assert (declared.status, "to be unwatched" in declared.out) == (0, True), declared.err
    assert "unwatched" in place("tool", "list").out
    assert rows(place)["fs__write"].get("unwatched") is True
    assert place("tool", "declare", "fs__write", "--outcome", "succeeded", "--yes").status == 2
    assert place("tool", "declare", "fs__write", "--outcome", "watched", "--yes").status == 0
    assert "unwatched" not in rows(place)["fs__write"]
    file = place.root / "unwatched.yaml"
    file.write_text("server: fs\ntools:\n  write:\n    outcome: unwatched\n", encoding="utf-8")
    refused = place("tool", "apply", str(file), "--yes")
    assert (refused.status, "[relaxes]" in refused.err, "RELAXES" in refused.out) == (3, True, True)
    assert place("tool", "apply", str(file), "--relax", "--yes").status == 0
    assert rows(place)["fs__write"].get("unwatched") is True


def test_the_page_s_last_commands_give_a_tool_away_and_mend_it_once_its_owner_has_left(
    place: Installation,
) -> None:
    give, servers, tools = (
        shlex.split(
            line.removeprefix("taskbound ").replace("git__git_push", "fs__write").replace(" git", " fs")
        )
        for line in COMMANDS[7:]
    )
    assert place("person", "add", "bob", "--uid", "4242").status == 0
    assert "owner: alice" in place("tool", "describe", "fs").out
    unknown = place(*give[:-1], "mallory", "--yes")
    assert (unknown.status, "[unknown-identity]" in unknown.err) == (3, True)
    assert place(*give, "--yes").status == 0
    assert "alice,bob" in place(*servers).out
    assert {name: one["owner"] for name, one in rows(place).items()}["fs__write"] == "bob"
    assert "bob" in place(*tools).out
    other = place(*give[:-1], "alice", "--yes")
    assert (other.status, "[not-owner]" in other.err) == (3, True)
    assert place("person", "gone", "bob", "--yes").status == 0
    assert "(none)" in place(*servers).out
    assert "(none)" in place(*tools).out
    described = place("tool", "describe", "fs", "--out", "fs.yaml")
    assert described.status == 0
    file = place.project / "fs.yaml"
    text = file.read_text(encoding="utf-8")
    assert "# owner: no owner" in text
    for owner, code in (("bob", "unknown-identity"), ("''", "tool-file")):
        file.write_text(text.replace("# owner: no owner", f"owner: {owner}"), encoding="utf-8")
        assert f"[{code}]" in place("tool", "apply", "fs.yaml", "--relax", "--yes").err
    file.write_text(text.replace("# owner: no owner", "owner: alice"), encoding="utf-8")
    assert "[relaxes]" in place("tool", "apply", "fs.yaml", "--yes").err
    assert place("tool", "apply", "fs.yaml", "--relax", "--yes").status == 0
    assert rows(place)["fs__write"]["owner"] == "alice"


HOSTILE = "read\u202e\n  evil: {effect: read}\x1b[2J #"


def test_what_a_server_wrote_breaks_no_proposed_file() -> None:
    properties = {HOSTILE: {"type": "string", "description": HOSTILE}, "- x": {}, "yes": {}, "a: b": {}}
    raw = json.dumps({"name": "t", "inputSchema": {"type": "object", "properties": properties}}).encode()
    text = written("s", [describe_tool(parse_definition(raw))])
    assert text == written("s", [describe_tool(parse_definition(raw))])
    shown = text.decode()
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert not any(line.lstrip().startswith("evil") for line in shown.splitlines())
    (found,) = parse_tool_file(read_document(text, "f.yaml").value).tools
    assert found.name == "t"
    assert found.effect is not None
    assert found.effect.value == "destructive"


def test_the_schema_takes_what_is_described_and_refuses_what_a_file_may_not_say(place: Installation) -> None:
    schema = json.loads(place("tool", "schema").out)
    page = ROOT / "docs/reference/tool-file.schema.json"
    assert schema == json.loads(page.read_text(encoding="utf-8"))
    judge = Draft202012Validator(schema)
    described = place("tool", "describe", "fs", "--json").document
    assert judge.is_valid(described)
    assert set(described["tools"]) >= {str(one["name"]) for one in TOOLS}
    assert not judge.is_valid({"server": "fs", "tools": {"a": {"slot": []}}})
