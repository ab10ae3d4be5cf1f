from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

import pytest

from taskbound.core.action.parse import parse_document
from taskbound.core.errors import MalformedError
from taskbound.core.scope import Covered, NotCovered, cover, parse_scope

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue

FOLDER = Path(__file__).parents[2] / "corpus"
CORPUS = tuple(FOLDER / f"{name}.jsonl" for name in ("g1-g6-more-scope", "g2-g6-scope", "g3-scope"))
NUMBERS = (
    "009 010 011 012 013 014 022 023 024 033 034 035 036 037 038 039 040 042 043 045 048 049 "
    "053 054 055 056 057 060 061 062 063 067 069 071 072 073 074 075 076 079 080 084 091 092 "
    "093 094 095 096 097 098 099 100 101 102 103 104 105 106 108 109 110 111 112 113 114 115 "
    "116 117 118 119 120"
)
ASKED = {f"A{number}" for number in NUMBERS.split()}
BESIDE = {
    "a text that can't be read at all, or how it is read: `core/action`, whatever the constraint": (
        *range(1, 9), *range(15, 22), 25, 26, 27, 28, 29
    ),
    "how a body is carried over HTTP, and the argument is what was parsed": (
        30, 31, 32, 78, *range(81, 84), *range(85, 91)
    ),
    "how a page or a terminal shows a value: the approval sheet": (41, 44, 46, 47, 50, 51, 52),
    "what the file system does with a name that is within: no constraint reads a disk": (
        58, 59, 64, 65, 66, 68, 70
    ),
    "what a name resolves to on the day: a constraint is about the name, and asks no resolver": (77,),
    "what the database tells in an error: no argument": (107,),
    "two lists that are not to be had offline": (121,),
}  # fmt: skip  # a reason a line
"""The numbers of G1 to G6 that bear on no constraint, by the reason."""


@dataclass(frozen=True, kw_only=True)
class Case:
    id: str
    group: str
    surface: str
    constraint: JsonValue
    bytes_b64: str
    expect: str
    reason: str
    twin_of: str
    cve: str
    note: str


CASES = [
    Case(**json.loads(line)) for file in CORPUS for line in file.read_text(encoding="utf-8").splitlines()
]


def answer(case: Case) -> tuple[str, str]:
    scope = parse_scope({"grants": [{"tool": "a__b", "arguments": {"x": case.constraint}}]})
    try:
        value = parse_document(b64decode(case.bytes_b64))
    except MalformedError as error:
        return "refuse", error.code
    match cover(scope, "a__b", {"x": value}, None):
        case Covered():
            return "permit", ""
        case NotCovered() as missed:
            return "refuse", missed.code
        case other:
            assert_never(other)


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_corpus_entry_gets_its_named_answer(case: Case) -> None:
    assert answer(case) == (case.expect, case.reason)


def test_each_refused_entry_has_a_benign_twin_that_is_permitted_under_the_same_constraint() -> None:
    twins = {case.twin_of: case for case in CASES if case.twin_of}
    refused = [case for case in CASES if case.expect == "refuse"]
    assert {case.id for case in refused} == set(twins)
    for case in refused:
        assert twins[case.id].expect == "permit"
        assert twins[case.id].constraint == case.constraint


def test_each_asked_number_of_the_attack_corpus_has_an_entry() -> None:
    assert {case.id.partition("-")[0] for case in CASES} == ASKED


def test_each_number_of_the_first_six_groups_has_an_entry_or_a_reason_to_have_none() -> None:
    excused = [f"A{number:03}" for numbers in BESIDE.values() for number in numbers]
    assert len(excused) == len(set(excused))
    assert not ASKED & set(excused)
    assert ASKED | set(excused) == {f"A{number:03}" for number in range(1, 122)}
