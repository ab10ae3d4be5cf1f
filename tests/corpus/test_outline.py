"""The outlines of G2, G7 to G10 and invariants D, clause by clause: rows, tests, or why there is none.

`outline.jsonl` has one clause a line: ``{number, clause}`` and ``rows``, ``tests`` or ``reason``. What can't
be played because something isn't built has ``until``: the pattern of a file's path. Once such a file is
there, the clause needs rows or tests.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.corpus import g9
from tests.corpus.g10 import cases

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
CLAUSES: list[dict[str, Any]] = [
    json.loads(line) for line in (FOLDER / "outline.jsonl").read_text(encoding="ascii").splitlines()
]
G2 = {
    row["id"]: row.get("twin_of", "")
    for row in map(json.loads, (FOLDER / "g2-sheet.jsonl").read_text(encoding="ascii").splitlines())
}
G10 = {case.id: case.twin_of for case in cases()}
G9 = {case.id: case.twin_of for case in g9.cases()}
G9 |= {row["id"]: row.get("twin_of", "") for name in g9.FILES for row in g9.rows(name)}
HARMLESS = {case.id for case in g9.cases() if case.expect == "ok"}
TOKENS = {
    row["id"]: row.get("twin_of", "")
    for name in ("g7", "g7-kinds", "g8")
    for row in map(json.loads, (FOLDER / f"{name}.jsonl").read_text(encoding="ascii").splitlines())
}
ROWS = G2 | G9 | G10 | TOKENS
INVARIANTS = [f"I-{number}" for number in range(38, 46)]
WHOLE = [f"A{number:03}" for number in (*range(33, 55), *range(158, 199))]
"""Of these each row is of a clause; of tokens, which have over a thousand, a clause names some."""
CREDENTIALS = [f"A{number}" for number in (*range(211, 219), 222)]
NUMBERS = sorted([*WHOLE, *(f"A{number}" for number in range(122, 158)), *CREDENTIALS, *INVARIANTS])


def of(clause: dict[str, Any]) -> str:
    return f"{clause['number']}: {clause['clause']}"


def test_each_number_of_the_outlines_has_clauses_and_each_clause_stands_once() -> None:
    assert sorted({clause["number"] for clause in CLAUSES}) == NUMBERS
    assert len({of(clause) for clause in CLAUSES}) == len(CLAUSES)


@pytest.mark.parametrize("clause", CLAUSES, ids=of)
def test_each_clause_is_played_or_says_why_not(clause: dict[str, Any]) -> None:
    assert clause.keys() <= {"number", "clause", "rows", "tests", "reason", "until"}
    assert clause.get("rows") or clause.get("tests") or len(clause.get("reason", "").split()) > 5
    if "until" in clause:
        assert not clause.keys() & {"rows", "tests"}
        assert not list(ROOT.glob(clause["until"])), "it is built: play it"
    twins = set(ROWS.values())
    for row in clause.get("rows", ()):
        assert row.startswith(clause["number"]) or clause["number"] in INVARIANTS
        assert ROWS[row] == "", "a twin is no row of its own"
        assert row in twins, "each row has a benign twin"
    for test in clause.get("tests", ()):
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_each_row_of_the_outlines_is_of_a_clause() -> None:
    named = {row for clause in CLAUSES for row in clause.get("rows", ())}
    rows = {name for name, twin_of in ROWS.items() if not twin_of and name[:4] in WHOLE}
    rows -= HARMLESS  # what has no fault, and stands beside those that have
    assert rows <= named
