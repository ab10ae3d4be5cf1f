from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskbound.surfaces.cli.policy.life import default_policies
from taskbound.surfaces.cli.reading import FileError
from tests.house.tree import ROOT
from tests.surfaces.cli.installation import Installation

POLICY = """@id("no-force")
forbid (principal, action == Taskbound::Action::"notes__delete", resource)
when { context.arguments has path && context.arguments.path like "/etc/*" };
"""
CASES = """cases:
  - name: the system's own files stay
    agent: helper
    tool: notes__delete
    arguments: { path: /etc/passwd }
    expect: { refuse: forbidden, policies: [no-force] }
"""


@pytest.fixture
def alone() -> Iterator[Installation]:
    """A person without a daemon: what is tried in a folder needs none."""
    one = Installation()
    try:
        yield one
    finally:
        shutil.rmtree(one.root)


@pytest.fixture
def folder(alone: Installation) -> Path:
    path = alone.project / "rules"
    path.mkdir()
    (path / "rules.cedar").write_text(POLICY, encoding="utf-8")
    (path / "rules.cases.yaml").write_text(CASES, encoding="utf-8")
    shutil.copy(ROOT / "policies" / "tools.json", path / "tools.json")
    return path


def test_the_default_policies_are_in_order_and_every_one_is_tried(alone: Installation) -> None:
    path = str(ROOT / "policies")
    assert alone("policy", "validate", path, "--json").document["problems"] == []
    trial = alone("policy", "test", path, "--json").document
    assert all(one["passed"] for one in trial["results"]), trial
    assert (trial["untried_policies"], trial["untried_tools"]) == ([], [])
    assert alone("policy", "fmt", path, "--check").status == 0
    assert not alone.home.exists()


@pytest.mark.usefixtures("folder")
def test_a_folder_is_tried_without_a_daemon(alone: Installation) -> None:
    assert alone("policy", "validate", "rules").out.startswith("1 files are in order for 6 tools")
    assert alone("policy", "test", "rules").out == "1 of 1 cases are answered as they expect\n"
    assert not alone.home.exists()


def test_a_misspelt_argument_is_named_with_file_line_and_column(alone: Installation, folder: Path) -> None:
    (folder / "rules.cedar").write_text(
        POLICY.replace("arguments has path", "arguments has pth"), encoding="utf-8"
    )
    found = alone("policy", "validate", "rules")
    assert found.status == 1
    assert found.out.startswith("rules.cedar:3:")
    assert "did you mean `path`?" in found.out
    [problem] = json.loads(alone("policy", "validate", "rules", "--json").out)["problems"]
    assert (problem["file"], problem["line"], problem["policy"]) == ("rules.cedar", 3, "no-force")


def test_a_case_that_is_answered_otherwise_fails_with_its_place(alone: Installation, folder: Path) -> None:
    (folder / "rules.cases.yaml").write_text(CASES.replace("/etc/passwd", "/srv/x"), encoding="utf-8")
    found = alone("policy", "test", "rules")
    assert found.status == 1
    assert found.out.startswith("rules.cases.yaml:2:5: the system's own files stay: it is permit")


def test_what_is_wrong_in_a_file_of_cases_is_named_with_line_and_column(
    alone: Installation, folder: Path
) -> None:
    (folder / "rules.cases.yaml").write_text(CASES.replace("agent:", "agnet:"), encoding="utf-8")
    found = alone("policy", "test", "rules")
    assert (found.status, "(at `rules.cases.yaml:3:5`) [bad-case]" in found.err) == (2, True), found
    (folder / "rules.cases.yaml").write_text(
        CASES.replace("notes__delete", "notes__remove"), encoding="utf-8"
    )
    found = alone("policy", "test", "rules")
    assert (found.status, "(at `rules.cases.yaml:2:5`) [bad-case]" in found.err) == (2, True), found


def test_a_policy_that_no_case_was_decided_by_is_listed(alone: Installation, folder: Path) -> None:
    more = '\n@id("untried")\nforbid (principal, action in Taskbound::Action::"call", resource)\n'
    more += 'when { context.effect == "none of these" };\n'
    (folder / "more.cedar").write_text(more, encoding="utf-8")
    found = alone("policy", "coverage", "rules", "--json")
    assert found.status == 1
    trial = json.loads(found.out)
    assert trial["untried_policies"] == ["untried"]
    assert "notes__delete" not in trial["untried_tools"]
    assert "notes__read" in trial["untried_tools"]


@pytest.mark.usefixtures("folder")
def test_a_case_is_explained_by_policies_facts_and_what_would_change_it(alone: Installation) -> None:
    found = alone("policy", "explain", "rules", "the system's own files stay", "--json").document
    assert found["answer"] == "refuse, forbidden (no-force)"
    assert "no-force" in found["candidates"]
    assert ["covered", "true"] in found["facts"]
    assert found["arguments"] == ["arguments/path"]
    assert ("arguments/path", "permit (base:covering-grant)") in {
        (one["what"], one["answer"]) for one in found["turns"]
    }
    missing = alone("policy", "explain", "rules", "another")
    assert (missing.status, "[bad-case]" in missing.err) == (2, True)


def test_a_case_under_a_scope_names_its_grant_and_what_it_never_covers(
    alone: Installation, folder: Path
) -> None:
    more = """  - name: {name}
    agent: helper
    tool: notes__delete
    arguments: {{ path: {path} }}
    scope: {{ grants: [{{ tool: notes__delete, arguments: {{ path: {{ below: /srv }} }} }}] }}
    expect: {expect}
"""
    inside = more.format(name="inside", path="/srv/a", expect="permit")
    outside = more.format(name="outside", path="/home/a", expect="{ refuse: outside-scope }")
    (folder / "rules.cases.yaml").write_text(CASES + inside + outside, encoding="utf-8")
    assert alone("policy", "test", "rules").out == "3 of 3 cases are answered as they expect\n"
    found = alone("policy", "explain", "rules", "inside", "--json").document
    assert (found["answer"], found["scoped"]) == ("permit (base:covering-grant)", True)
    (grant,) = found["grants"]
    assert grant.startswith("g0: may call `notes__delete` any number of times; with `path`")
    turns = {one["what"]: one["answer"] for one in found["turns"]}
    assert turns["scope"] == "refuse, outside-scope"
    assert turns["arguments/path"].startswith("refuse, outside-scope: grant g0 came nearest")
    found = alone("policy", "explain", "rules", "outside", "--json").document
    assert found["answer"].startswith("refuse, outside-scope: grant g0 came nearest: argument `path`")
    assert {one["what"]: one["answer"] for one in found["turns"]} == {"scope": "permit (base:covering-grant)"}
    said = alone("policy", "explain", "rules", "outside").out
    assert "grants           grant g0 came nearest" in said
    unscoped = alone("policy", "explain", "rules", "the system's own files stay")
    assert "one is taken to cover: the case has no scope" in unscoped.out
    wrong = inside.replace("below: /srv", "below: srv")
    (folder / "rules.cases.yaml").write_text(CASES + wrong, encoding="utf-8")
    failed = alone("policy", "test", "rules")
    assert (failed.status, "(at `rules.cases.yaml:11:" in failed.err, "[bad-case]" in failed.err) == (
        2,
        True,
        True,
    ), failed


def test_explaining_takes_a_case_or_an_action_and_not_both(alone: Installation) -> None:
    for words in ((), ("rules",), ("rules", "x", "--action", "act_1"), ("--action", "a", "--tools", "t")):
        found = alone("policy", "explain", *words)
        assert (found.status, "[bad-input]" in found.err) == (2, True), found


def test_layout_changes_no_meaning_and_is_done_once(alone: Installation, folder: Path) -> None:
    assert alone("policy", "fmt", "rules", "--check").status == 1
    assert (folder / "rules.cedar").read_text(encoding="utf-8") == POLICY
    assert alone("policy", "fmt", "rules").status == 0
    assert alone("policy", "fmt", "rules", "--check").status == 0
    assert alone("policy", "test", "rules").status == 0


@pytest.mark.usefixtures("folder")
def test_the_schema_names_the_arguments_of_each_tool(alone: Installation) -> None:
    assert 'action "notes__delete"' in alone.ended("policy", "schema", "rules").out


@pytest.mark.parametrize(
    "name", ["rules.cedar.bak", "Rules.cases.yaml", ".hidden", "rules.cases.yaml~", "sub"]
)
def test_a_file_that_nobody_would_read_refuses_the_folder(
    alone: Installation, folder: Path, name: str
) -> None:
    (folder / name).write_text("", encoding="utf-8")
    found = alone("policy", "validate", "rules")
    assert (found.status, "[bad-bundle]" in found.err) == (2, True), found


def test_links_folders_and_pipes_are_not_followed_or_waited_for(alone: Installation, folder: Path) -> None:
    for make in (
        lambda path: path.symlink_to("rules.cedar"),
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.mkdir(),
        os.mkfifo,
    ):
        make(folder / "odd.cedar")
        found = alone("policy", "validate", "rules")
        assert (found.status, "[bad-bundle]" in found.err) == (2, True), found
        (folder / "odd.cedar").rmdir() if (folder / "odd.cedar").is_dir() else (folder / "odd.cedar").unlink()
    assert alone("policy", "validate", "rules").status == 0


@pytest.mark.parametrize(
    ("name", "raw", "code"),
    [
        ("rules.cedar", b"\xff", "bad-bundle"),
        ("base.cedar", b"", "bad-bundle"),
        ("rules.cedar", POLICY.replace("no-force", "base:mine").encode(), "bad-bundle"),
        ("rules.cedar", POLICY.replace("no-force", "base:covering-grant").encode(), "bad-policy"),
        ("tools.json", b"{}", "bad-input"),
    ],
)
def test_a_folder_that_can_not_be_read_whole_is_refused_with_one_error(
    alone: Installation, folder: Path, name: str, raw: bytes, code: str
) -> None:
    (folder / name).write_bytes(raw)
    found = alone("policy", "validate", "rules")
    assert (found.status, f"[{code}]" in found.err) == (2, True), found
    assert found.err.count("error:") == 1


def test_a_folder_without_rules_or_cases_says_which(alone: Installation, folder: Path) -> None:
    (folder / "rules.cases.yaml").unlink()
    assert "the folder has no case" in alone("policy", "test", "rules").err
    (folder / "rules.cedar").unlink()
    assert "there is no file of policies" in alone("policy", "test", "rules").err
    assert alone("policy", "test", "nowhere").status == 4


def test_a_new_folder_holds_the_default_policies_and_replaces_nothing(alone: Installation) -> None:
    assert alone("policy", "new", "mine").status == 0
    assert alone("policy", "test", "mine").status == 0
    again = alone("policy", "new", "mine")
    assert (again.status, "[bad-input]" in again.err) == (2, True)


@pytest.mark.parametrize("place", ["wheel", "tree"])
def test_the_default_policies_are_found_in_a_wheel_and_in_the_source_tree(tmp_path: Path, place: str) -> None:
    package = tmp_path / "src" / "taskbound"
    there = package / "policies" if place == "wheel" else tmp_path / "policies"
    package.mkdir(parents=True)
    with pytest.raises(FileError):
        default_policies(package)
    there.mkdir()
    (there / "holds.cedar").touch()
    assert default_policies(package) == there
