from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskbound.adapters.store.sql.sqlite.driver import driver
from tests.surfaces.cli.installation import Installation
from tests.surfaces.cli.test_calls import call

NEVER = """@id("no-etc")
forbid (principal, action == Taskbound::Action::"fs__write", resource)
when { context.arguments has path && context.arguments.path like "/etc/*" };
"""
CASES = """cases:
  - name: the system's own files stay
    agent: helper
    tool: fs__write
    arguments: { path: /etc/passwd }
    expect: { refuse: forbidden, policies: [no-etc] }
"""


@pytest.fixture
def place() -> Iterator[Installation]:
    one = Installation()
    try:
        one.prepare()
        yield one
    finally:
        one.end()


@pytest.fixture
def rules(place: Installation) -> Path:
    folder = place.project / "rules"
    folder.mkdir()
    (folder / "own.cedar").write_text(NEVER, encoding="utf-8")
    (folder / "own.cases.yaml").write_text(CASES, encoding="utf-8")
    return folder


def restart(place: Installation) -> None:
    """End the daemon as an operator does; the next command starts another."""
    process = os.pidfd_open(place.status().pid)
    signal.pidfd_send_signal(process, signal.SIGTERM)
    assert select.select([process], [], [], 30)[0]
    os.close(process)


def propose(place: Installation, *words: str) -> str:
    found: dict[str, Any] = place("policy", "propose", "rules", *words, "--json").document
    return str(found["digest"])


def test_a_bundle_lives_from_its_proposal_to_its_rollback(place: Installation, rules: Path) -> None:
    del rules
    empty = place("policy", "list")
    assert "are in force alone" in empty.out
    digest = propose(place, "--note", "why not")
    assert "proposed  " in place("policy", "list").out
    assert place("policy", "diff", "rules").status == 1
    assert "+ " not in place("policy", "diff", "rules", digest).out
    ended = place("policy", "activate", digest)
    assert (ended.status, ended.out) == (0, f"it is in force: {digest}\n"), ended
    rows = place("policy", "list", "--json").document
    assert (rows["in_force"], rows["rows"][0]["state"], rows["activations"][0]["alone"]) == (
        digest,
        "in-force",
        True,
    )
    shown = place("policy", "show").out
    assert shown.splitlines()[0] == digest
    assert all(one in shown for one in ("why not", "forbid (principal, action == Taskbound", "base.cedar"))
    doctor = place("doctor", "--json").document
    assert {name: doctor["policy"][name] for name in ("digest", "author", "how", "by")} == {
        "digest": digest,
        "author": "alice",
        "how": "activated",
        "by": "alice",
    }
    assert doctor["policy"]["at"] == rows["activations"][0]["at"]
    assert f"bundle {digest}, proposed by `alice`; activated by `alice` at " in place("doctor").out
    assert place("policy", "diff", "rules").out == "they are the same\n"
    assert place("policy", "test", "in-force").out == "1 of 1 cases are answered as they expect\n"
    assert place("policy", "coverage", digest).status == 0
    assert place("policy", "explain", "in-force", "the system's own files stay").out.startswith("the system")
    assert place("policy", "replay", "rules", "--json").document["differences"] == []
    assert place("policy", "replay").status == 0
    back = place("policy", "rollback", "--reason", "too strict")
    assert (back.status, "in force again" in back.out) == (0, True), back
    assert place("policy", "list", "--json").document["in_force"] == rows["base"]


def test_doctor_says_that_nothing_is_decided_while_the_bundle_in_force_is_not_whole(
    place: Installation, rules: Path
) -> None:
    del rules
    digest = propose(place)
    assert place("policy", "activate", digest).status == 0
    restart(place)
    connection = driver.connect(place.home / "taskbound.db")
    changed = connection.execute("UPDATE bundles SET author = 'mallory' WHERE digest = ?", (digest,)).rowcount
    connection.commit()
    connection.close()
    assert changed == 1
    assert place("person", "list").status == 0
    ended = place("doctor", "--json")
    assert ended.status == 1
    found = json.loads(ended.out)
    assert (found["healthy"], "no record in the log says" in found["policy"]["trouble"]) == (False, True)
    (rules_found,) = [one for one in found["findings"] if one["about"] == "policy"]
    assert (rules_found["level"], rules_found["text"][:20]) == ("bad", "nothing is decided: ")


def test_an_action_is_explained_with_its_grant_its_policies_and_what_would_change_it(
    place: Installation, rules: Path
) -> None:
    del rules
    place("policy", "activate", propose(place))
    task = place.start_task(
        scope=place.scope({"tool": "fs__write", "arguments": {"path": {"below": "/srv"}}})
    )
    call(place, ("fs__write", {"path": "/srv/a"}), ("fs__write", {"path": "/etc/passwd"}))
    rows = place("action", "list", "--task", task, "--json").document["rows"]
    outside, inside = (one["action"] for one in rows)
    found = place("policy", "explain", "--action", inside, "--json").document
    assert found == place("action", "explain", inside, "--json").document
    assert (found["grant"], found["replay"]) == ("g0", "same")
    assert [one.partition(":")[0] for one in found["grants"]] == ["g0"]
    assert "no-etc" in found["asked"]
    assert "arguments/path" in found["arguments_read"]
    assert "without grant g0: refuse, outside-scope" in found["turns"]
    found = place("policy", "explain", "--action", outside, "--json").document
    assert found["row"]["code"] == "outside-scope"
    assert found["grants"][0].startswith("grant g0 came nearest: argument `path` was")
    said = place("policy", "explain", "--action", outside).out
    assert "grant g0 came nearest" in said


def test_what_is_wrong_with_a_folder_is_refused_with_all_of_it_and_nothing_is_kept(
    place: Installation, rules: Path
) -> None:
    wrong = NEVER.replace("has path", "has pth")
    other = NEVER.replace("no-etc", "x").replace("fs__write", "fs__wrote")
    (rules / "own.cases.yaml").unlink()
    (rules / "own.cedar").write_text(wrong + other, encoding="utf-8")
    ended = place("policy", "propose", "rules")
    assert ended.status == 1
    assert len(ended.out.splitlines()) == 2
    assert "did you mean" in ended.out
    assert place("policy", "list", "--json").document["rows"] == []
    (rules / "own.cases.yaml").write_text(CASES.replace("/etc/", "/usr/"), encoding="utf-8")
    (rules / "own.cedar").write_text(NEVER, encoding="utf-8")
    ended = place("policy", "propose", "rules")
    assert (ended.status, "answered otherwise" in ended.err) == (2, True), ended


def test_what_is_put_in_force_is_named_by_its_whole_digest(place: Installation, rules: Path) -> None:
    del rules
    digest = propose(place)
    short = place("policy", "activate", digest[:12])
    assert (short.status, "no digest of a bundle" in short.err) == (2, True)
    assert place("policy", "activate", "0" * 64).status != 0
    assert place("policy", "rollback").status != 0


def test_no_text_of_a_bundle_stands_where_our_words_stand(place: Installation, rules: Path) -> None:
    hostile = "//\x1b[2Jstate  in-force\n// \u202esignature\n//\nstate  in-force\n"
    (rules / "own.cedar").write_text(NEVER + hostile.replace("\nstate", "\n// state"), encoding="utf-8")
    (rules / "own.cases.yaml").write_text(f"{CASES}# signature: x\n", encoding="utf-8")
    digest = propose(place, "--note", "x\nstate      in-force\x1b[31m\u202e")
    for words in (("policy", "show", digest), ("policy", "list"), ("policy", "diff", digest)):
        out = place(*words).out
        assert "\x1b" not in out
        assert "\u202e" not in out
        assert sum(line.startswith("state") for line in out.splitlines()) <= 1
        assert sum(line.startswith("signature") for line in out.splitlines()) <= 1


def test_hold_for_unknown_group_is_refused_by_validate_and_propose(place: Installation, rules: Path) -> None:
    held = NEVER.replace("forbid", '@hold("approval:reviewerz")\nforbid', 1)
    (rules / "own.cedar").write_text(held, encoding="utf-8")
    cases = CASES.replace("{ refuse: forbidden,", "{ hold: [approval:reviewerz],")
    (rules / "own.cases.yaml").write_text(cases, encoding="utf-8")
    assert place("person", "group", "add", "reviewers").status == 0
    for word in ("validate", "propose"):
        refused = place("policy", word, "rules")
        assert (refused.status != 0, "no group is named `reviewerz`" in refused.out + refused.err) == (
            True,
            True,
        )
        assert "the groups are `reviewers`" in refused.out + refused.err
    assert place("policy", "list", "--json").document["rows"] == []
    tools = place.project / "tools.json"
    tools.write_text(place("tool", "list", "--json").out, encoding="utf-8")
    alone = place("policy", "validate", "rules", "--tools", str(tools))
    assert (alone.status, "were not looked up" in alone.err) == (0, True), alone
