from __future__ import annotations

import json
import os
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.house.tree import ROOT
from tests.peers.openssh import make_key, sign

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.cli.installation import Installation


@pytest.fixture(autouse=True)
def passphrase(fresh: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ssh-keygen` asks this program instead of a person."""
    program = tmp_path / "ask"
    program.write_text("#!/bin/sh\necho 'correct horse'\n")
    program.chmod(0o700)
    for name, value in (("SSH_ASKPASS", str(program)), ("SSH_ASKPASS_REQUIRE", "force")):
        monkeypatch.setenv(name, value)
        fresh.environ[name] = value


def guarded(folder: Path, name: str, kind: str = "ed25519") -> Path:
    return make_key(folder, kind=kind, passphrase="correct horse", name=name)  # of a test


def test_two_people_enroll_one_vouches_and_one_leaves(fresh: Installation, tmp_path: Path) -> None:
    fresh.prepare()
    alice = guarded(tmp_path, "alice")
    added = fresh("person", "key", "add", str(alice))
    assert added.status == 0, added.err
    assert "taskbound statement: enroll a person key" in added.err
    assert "counts        now" in added.out
    assert fresh("person", "add", "bea", "--uid", "12346").status == 0
    bea = guarded(tmp_path, "bea", "ecdsa")
    line = bea.with_name("bea.pub").rename(tmp_path / "elsewhere.pub")
    proposed = fresh("person", "key", "add", str(line), "--person", "bea", "--elsewhere", "--json").document
    key = proposed["row"]["key"]
    assert (proposed["row"]["state"], proposed["row"]["custody"]) == ("proposed", "unseen")
    statement = tmp_path / "statement"
    assert fresh("person", "key", "show", key, "--statement", str(statement)).status == 0
    signature = tmp_path / "statement.sig"
    signature.write_bytes(sign(bea, statement.read_bytes() + b"\n"))
    assert fresh("person", "key", "prove", key, "--signature", str(signature)).status == 3
    signature.write_bytes(sign(bea, statement.read_bytes()))
    proven = fresh("person", "key", "prove", key, "--signature", str(signature))
    assert f"next: alice runs `taskbound person key vouch {key} --with FILE`" in proven.err
    assert fresh("person", "key", "vouch", key, "--with", str(bea)).status == 2
    vouched = fresh("person", "key", "vouch", key, "--with", str(alice))
    assert "too lately" in vouched.out
    rows = {one["person"]: one for one in fresh("person", "key", "list", "--json").document["rows"]}
    assert (rows["alice"]["counts"], rows["bea"]["counts"]) == (True, False)
    assert rows["bea"]["usable_from"] - rows["bea"]["enrolled"] == 24 * 3600 * 1_000_000
    assert "from 2" in fresh("person", "key", "list").out
    found = json.loads(fresh("doctor", "--json").out)["findings"]
    names = {one["name"] for one in found if one["about"] == "people"}
    assert names == {"grantable", "signing", "key-passphrase", "key-unseen"}
    assert fresh("person", "gone", "bea", "--yes").status == 0
    rows = {one["person"]: one for one in fresh("person", "key", "list", "--json").document["rows"]}
    assert rows["bea"]["state"] == "withdrawn"


def test_a_bare_key_is_refused_and_in_a_demo_it_is_taken_and_shown(
    fresh: Installation, tmp_path: Path
) -> None:
    fresh.prepare()
    bare = make_key(tmp_path, name="bare")
    for named in (str(bare), f"{bare}.pub"):
        refused = fresh("person", "key", "add", named)
        assert (refused.status, "person-key-exposed" in refused.err) == (3, True)
    assert fresh("person", "demo", "begin").status == 0
    added = fresh("person", "key", "add", str(bare))
    assert (added.status, "bare" in added.out, "(demo)" in added.err) == (0, True, True)
    doctor = fresh("doctor").out
    assert "for trying out (demo)" in doctor
    assert "has no passphrase" in doctor
    assert fresh("person", "demo", "end").status == 2
    assert fresh("person", "demo", "end", "--yes").status == 0
    assert fresh("person", "demo", "begin").status == 3
    assert "withdrawn" in fresh("person", "key", "list").out


def test_a_key_whose_files_are_of_two_keys_is_refused(fresh: Installation, tmp_path: Path) -> None:
    fresh.prepare()
    one, other = guarded(tmp_path, "one"), guarded(tmp_path, "other")
    one.with_name("one.pub").write_text(other.with_name("other.pub").read_text())
    assert "another key" in fresh("person", "key", "add", str(one)).err
    one.with_name("one.pub").unlink()
    assert fresh("person", "key", "add", str(one)).status == 0
    assert os.path.exists(one)  # noqa: PTH110  # nothing was done to it


@pytest.mark.parametrize(
    "words",
    [
        ("vouch", "key_1"),
        ("vouch", "key_1", "--as-owner", "--with", "x"),
        ("vouch", "key_1", "--by", "key_2"),
    ],
)
def test_vouching_is_said_in_one_way(place: Installation, words: tuple[str, ...]) -> None:
    assert place("person", "key", *words).status == 2


def test_linked_people_are_shown_as_one_human_and_parted_again(place: Installation) -> None:
    assert place("person", "add", "ida", "--uid", "12388").status == 0
    assert place("person", "link", "ida", "alice").status == 0
    rows = {one["name"]: one for one in place("person", "list", "--json").document["rows"]}
    assert (rows["ida"]["linked"], rows["alice"]["linked"]) == (["alice"], ["ida"])
    assert "linked to  alice" in place("person", "show", "ida").out
    assert place("person", "part", "ida", "alice").status == 0
    rows = {one["name"]: one for one in place("person", "list", "--json").document["rows"]}
    assert "linked" not in rows["ida"]


def test_who_answers_for_an_agent_is_changed_by_its_owner_only(place: Installation) -> None:
    assert place("person", "add", "jo", "--uid", "12389").status == 0
    agent = place("agent", "list", "--json").document["rows"][0]["name"]
    assert place("agent", "people", agent, "--owner", "alice", "--approver", "jo").status == 0
    assert place("agent", "show", agent, "--json").document["approvers"] == ["jo"]
    assert place("agent", "people", agent, "--owner", "jo", "--approver", "alice").status == 0
    assert "only the owner" in place("agent", "people", agent, "--owner", "alice", "--approver", "jo").err


def test_whoever_is_gone_can_be_taken_back_without_keys(place: Installation) -> None:
    assert place("person", "add", "kim", "--uid", "12390").status == 0
    assert place("person", "gone", "kim").status == 2
    assert place("person", "gone", "kim", "--yes").status == 0
    assert place("person", "back", "kim").status == 0
    rows = {one["name"]: one for one in place("person", "list", "--json").document["rows"]}
    assert rows["kim"]["state"] == "present"


def test_who_answers_for_an_agent_says_its_risk_as_the_guide_does_and_policies_read_it(
    fresh: Installation,
) -> None:
    fresh.prepare()
    page = (ROOT / "docs/guides/people.md").read_text(encoding="utf-8").partition("## How risky")[2]
    [line] = re.findall(r"^taskbound (.*)$", page, re.MULTILINE)
    [rule] = re.findall(r"^```cedar\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert (
        fresh("agent", "show", "helper", "--json").document["risk"],
        fresh(*shlex.split(line)).status,
        fresh("agent", "show", "helper", "--json").document["risk"],
    ) == ("low", 0, "high")
    assert "high, said by alice" in fresh("agent", "show", "helper").out
    (row,) = fresh("agent", "list", "--json").document["rows"]
    assert (row["risk"], row["risk_by"]) == ("high", "alice")
    findings = json.loads(fresh("doctor", "--json").out)["findings"]
    assert [one["level"] for one in findings if one["name"] == "agent-risk"] == ["warn"]
    again = fresh(*shlex.split(line))
    assert (again.status, "same-risk" in again.err) == (3, True)
    wrong = fresh("agent", "risk", "helper", "worst", "--reason", "odd")
    assert (wrong.status, "bad-risk" in wrong.err) == (2, True)
    assert fresh("agent", "risk", "helper", "low", "--reason", "found again").status == 0
    assert "agent-risk" not in fresh("doctor", "--json").out
    fresh("policy", "new", "rules")
    folder = fresh.project / "rules"
    (folder / "risk.cedar").write_text(rule.replace("bank__pay", "notes__read"), encoding="utf-8")
    cases = [
        f"  - {{ name: at {level}, agent: helper, tool: notes__read, arguments: {{ path: /a }}, facts: "
        f"{{ risk: {level} }}, expect: {expected} }}"
        for level, expected in (("medium", "permit"), ("high", "{ refuse: forbidden }"))
    ]
    (folder / "risk.cases.yaml").write_text("\n".join(("cases:", *cases, "")), encoding="utf-8")
    (folder / "holds.cases.yaml").unlink()
    (folder / "holds.cedar").unlink()
    assert fresh("policy", "validate", "rules").status == 0
    assert fresh("policy", "test", "rules").out == "2 of 2 cases are answered as they expect\n"
    explained = fresh("policy", "explain", "rules", "at medium").out
    assert "risk = `high`" in explained, "what would turn it"
