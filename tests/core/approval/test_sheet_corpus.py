from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from taskbound.core.action import JsonValue
from taskbound.core.approval.sheet import SheetOf
from tests.core.approval.sheets import LABELS, ordinary, require_whole, shown

ROOT = Path(__file__).parents[3]
CORPUS = ROOT / "tests" / "corpus" / "g2-sheet.jsonl"
ROWS = {row["id"]: row for row in map(json.loads, CORPUS.read_text(encoding="ascii").splitlines())}
ASKED = {f"A{number:03}" for number in range(33, 55)} | {"A027", "A028", "A188"}
COUNTED = ("  sheet ", "  end ", "  arguments ")


def sheet_of(name: str) -> SheetOf:
    return ordinary(ROWS[name].get("arguments"), **ROWS[name].get("words", {}))


def of_its_own(name: str) -> list[str]:
    ordinary_lines = set(shown(ordinary()).splitlines())
    lines = shown(sheet_of(name)).splitlines()
    return [line for line in lines if line not in ordinary_lines and not line.startswith(COUNTED)]


@pytest.mark.parametrize("name", ROWS)
def test_g2_the_screen_shows_for_each_trick_exactly_what_the_corpus_says(name: str) -> None:
    assert of_its_own(name) == ROWS[name]["shows"]


@pytest.mark.parametrize("name", ROWS)
def test_g2_each_trick_is_read_back_as_itself_and_leaves_no_quotes(name: str) -> None:
    assert require_whole(sheet_of(name))


@pytest.mark.parametrize("name", [name for name in ROWS if "twin_of" in ROWS[name]])
def test_g2_nothing_is_said_against_a_benign_twin(name: str) -> None:
    assert not [line for line in ROWS[name]["shows"] if line.startswith(("  beware ", "  note "))]


@pytest.mark.parametrize("name", ROWS)
def test_i33_no_trick_adds_a_line_that_begins_with_a_label_of_ours(name: str) -> None:
    row = ROWS[name]
    changed = set(row.get("words", {}))
    labels = {line[2:14].strip() for line in row["shows"]}
    may = {"argument", "beware", "note", ""} | ({"agent says"} if "reason" in changed else set()) | changed
    assert labels <= may & (LABELS | {""})


def test_the_corpus_asks_all_of_g2_and_has_a_twin_for_each() -> None:
    assert {name[:4] for name in ROWS} == ASKED
    tricks = {name for name, row in ROWS.items() if "twin_of" not in row}
    assert {row["twin_of"] for row in ROWS.values() if "twin_of" in row} == tricks


def test_the_sheet_in_the_reference_is_one() -> None:
    page = (ROOT / "docs" / "reference" / "sheet.md").read_text(encoding="utf-8")
    found = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    arguments: dict[str, JsonValue] = {
        "amount": 1249.5,
        "currency": "EUR",
        "memo": "Invoice 7731",
        "payee": "\u0430cme GmbH",
    }
    assert found[0] == shown(ordinary(arguments))
