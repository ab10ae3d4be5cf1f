from __future__ import annotations

from typing import TYPE_CHECKING

from tests.surfaces.cli.test_approval import agent, line, place
from tests.surfaces.cli.test_evidence import files
from tests.tokens import ISSUER

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.surfaces.cli.installation import Installation

__all__ = ["agent", "place"]  # fixtures of the approvals' story


def named(place: Installation) -> list[str]:
    """Whom the list names in the row of `fs__write`."""
    row = next(one for one in place("tool", "list").out.splitlines() if "fs__write" in one)
    return [word for word in row.replace(",", " ").split() if word == "alice"]


def test_who_approves_for_a_tool_is_declared_listed_and_left_to_the_agents_approvers_again(
    place: Installation,
) -> None:
    declared = place("tool", "declare", "fs__write", "--approver", "alice", "--yes")
    assert declared.status == 0, declared.err
    assert "alice approve for fs__write" in declared.out
    rows = place("tool", "list", "--json").document["rows"]
    assert {one["name"]: one["approvers"] for one in rows if one["name"] == "fs__write"} == {
        "fs__write": ["alice"]
    }
    assert named(place) == ["alice", "alice"]  # its owner, and who approves for it
    assert place("tool", "declare", "fs__write", "--no-approvers", "--yes").status == 0
    assert named(place) == ["alice"]
    for words in ((), ("--approver", "alice", "--idempotent"), ("--approver", "alice", "--no-approvers")):
        assert place("tool", "declare", "fs__write", *words, "--yes").status == 2
    unknown = place("tool", "declare", "fs__write", "--approver", "mallory", "--yes")
    assert (unknown.status, "[unknown-identity]" in unknown.err) == (3, True)


def test_an_issuers_word_is_brought_from_a_file_and_refused_where_nobody_asks_for_it(
    place: Installation, agent: subprocess.Popen[str], tmp_path: Path
) -> None:
    action = line(agent)
    digest = place("approval", "show", action, "--json").document["digest"]
    keys, token = files(tmp_path, sub=f"taskbound-approval:{digest}")
    nobody = place("approval", "prove", action, "--evidence-jws", token)
    assert (nobody.status, "unknown-issuer" in nobody.err) == (3, True)
    assert place("task", "issuer", "add", "tickets", "--issuer", ISSUER, "--keys", keys).status == 0
    refused = place("approval", "prove", action, "--evidence-jws", token)
    assert (refused.status, "not-entitled" in refused.err) == (3, True)
    assert "`confirm` has 0 of 1" in place("approval", "list").out


def test_what_was_asked_and_answered_is_counted_and_its_limits_are_said_and_shown(
    place: Installation, agent: subprocess.Popen[str], tmp_path: Path
) -> None:
    action = line(agent)
    signed = place("approval", "sign", action, "--key", str(tmp_path / "alice"))
    assert signed.status == 0, signed.err
    counted = place("approval", "stats", "--json").document
    assert [(one["agent"], one["asked"]) for one in counted["agents"]] == [("helper", 1)]
    (alice,) = counted["persons"]
    assert (alice["person"], alice["shown"], alice["yes"], alice["hasty"], alice["unseen"]) == (
        "alice",
        1,
        1,
        1,
        0,
    )
    shown = place("approval", "stats").out
    assert "characters a second" in shown
    assert "HASTY" in shown
    assert "taskbound-hasty-answer" in place.monitor.read_text()
    assert place("approval", "limits", "--hourly", "9", "--json").document["hourly"] == 9
    assert place("approval", "limits", "--json").document == {
        "is": "approval-limits",
        "open": 20,
        "hourly": 9,
        "speed": 100,
    }
    assert "questions of an agent an hour" in place("approval", "limits").out
    refused = place("approval", "limits", "--open", "9999")
    assert (refused.status, "bad-limits" in refused.err) == (2, True)
