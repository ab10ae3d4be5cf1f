from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator

import pytest

from tests.house.tree import ROOT
from tests.surfaces.cli.installation import Installation

EVIDENCE = (ROOT / "docs/guides/evidence.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs/guides/policies.md").read_text(encoding="utf-8")


@pytest.fixture
def alone() -> Iterator[Installation]:
    one = Installation()
    try:
        yield one
    finally:
        shutil.rmtree(one.root)


def test_what_the_guide_writes_is_in_order_and_answered_as_it_says(alone: Installation) -> None:
    assert alone("policy", "new", "rules").status == 0
    assert alone("policy", "test", "rules").out == "15 of 15 cases are answered as they expect\n"
    [policy] = re.findall(r"^```\n(@id.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    [cases] = re.findall(r"^```yaml\ncases:\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    folder = alone.project / "rules"
    (folder / "notes.cedar").write_text(policy, encoding="utf-8")
    kept = (folder / "holds.cases.yaml").read_text(encoding="utf-8")
    (folder / "holds.cases.yaml").write_text(f"{kept.rstrip()}\n\n{cases}", encoding="utf-8")
    assert alone("policy", "validate", "rules").status == 0
    assert alone("policy", "test", "rules").out == "16 of 16 cases are answered as they expect\n"
    assert "policies  -" in alone("policy", "coverage", "rules").out
    assert alone("policy", "explain", "rules", "what destroys is held").status == 0


def test_the_guide_is_right_that_an_optional_argument_needs_its_has(alone: Installation) -> None:
    alone("policy", "new", "rules")
    [policy] = re.findall(r"^```\n(@id.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    unguarded = policy.replace("context.arguments has path && ", "")
    assert unguarded != policy
    (alone.project / "rules" / "notes.cedar").write_text(unguarded, encoding="utf-8")
    found = alone("policy", "validate", "rules")
    assert (found.status, "optional" in found.out) == (1, True)


def test_the_rule_about_evidence_that_stands_is_in_order_and_cases_say_what_stands(
    alone: Installation,
) -> None:
    alone("policy", "new", "rules")
    [policy] = re.findall(r"^```cedar\n(@id.*?)^```", EVIDENCE, re.MULTILINE | re.DOTALL)
    folder = alone.project / "rules"
    (folder / "evidence.cedar").write_text(policy.replace("bank__pay", "notes__read"), encoding="utf-8")
    plain = "agent: helper, tool: notes__read, arguments: { path: /a }"
    told = (
        ("it stands", "task.proven: [jws, jws.tickets]", "permit"),
        ("that of others stands", "task.proven: [jws]", "{ refuse: forbidden }"),
        ("it fell", "task.unproven: [jws.tickets]", "{ refuse: forbidden }"),
    )
    cases = [
        f"  - {{ name: {name}, {plain}, facts: {{ {facts} }}, expect: {expect} }}"
        for name, facts, expect in told
    ]
    (folder / "evidence.cases.yaml").write_text("\n".join(("cases:", *cases, "")), encoding="utf-8")
    assert alone("policy", "validate", "rules").status == 0
    found = alone("policy", "explain", "rules", "it stands")
    assert "task.proven" in found.out
    answered = alone("policy", "test", "rules").out
    assert "it stands" not in answered, answered
    assert "it fell" not in answered, answered


BLOCK = re.compile(r"^```(?:\w+ (?P<file>\S+))?\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)


def fits(lines: list[str], written: list[str]) -> bool:
    """Whether what was said is what is written, `…` for the rest of a line, and alone for any lines."""
    if not written:
        return not lines
    if written[0] == "…":
        return any(fits(lines[skip:], written[1:]) for skip in range(len(lines) + 1))
    if not lines:
        return False
    one, told = written[0], lines[0]
    same = told.startswith(one[:-1]) if one.endswith("…") else told == one
    return same and fits(lines[1:], written[1:])


def test_every_command_of_a_bundle_s_life_says_what_the_guide_says(place: Installation) -> None:
    section = GUIDE[GUIDE.index("## The life of a bundle") :]
    count = 0
    digest = "DIGEST"
    for block in BLOCK.finditer(section):
        if block["file"]:
            path = place.project / block["file"]
            path.parent.mkdir(exist_ok=True)
            path.write_text(block["body"], encoding="utf-8")
            continue
        for part in block["body"].removeprefix("$ ").split("\n$ "):
            line, *written = part.rstrip("\n").replace("DIGEST", digest).split("\n")
            ended = place(*shlex.split(line)[1:])
            lines = (ended.out + ended.err).splitlines()
            assert fits(lines, written), (line, lines, written)
            count += 1
            if " propose " in line:
                digest = lines[0].rpartition(" ")[2]
    assert count == 12


def test_what_the_guide_forbids_of_operations_is_answered_as_it_says(alone: Installation) -> None:
    alone("policy", "new", "rules")
    folder = alone.project / "duty"
    folder.mkdir()
    for name in ("operations.cedar", "operations.cases.yaml"):
        [text] = re.findall(rf"^```\w+ duty/{re.escape(name)}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
        (folder / name).write_text(text, encoding="utf-8")
    shutil.copy(alone.project / "rules" / "tools.json", folder)
    found = alone("policy", "validate", "duty")
    assert (found.status, found.out.startswith("1 files are in order")) == (0, True), found
    assert alone("policy", "test", "duty").out == "5 of 5 cases are answered as they expect\n"
    assert "policies  -" in alone("policy", "coverage", "duty").out
    told = alone("policy", "explain", "duty", "a person on call does")
    assert ("base:operations-person" in told.out, "duty:oncall-deploys" in told.out) == (True, True), told
    held = (folder / "operations.cedar").read_text().replace("@reason", '@hold("confirm")\n@reason', 1)
    (folder / "operations.cedar").write_text(held, encoding="utf-8")
    found = alone("policy", "validate", "duty")
    assert (found.status, "nothing lifts the refusal of an operation" in found.out) == (1, True), found
    (folder / "operations.cedar").write_text(held.replace("confirm", "step-up:mfa@300"), encoding="utf-8")
    found = alone("policy", "validate", "duty")
    assert (found.status, found.out.startswith("1 files are in order")) == (0, True), found
