from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from zlib import decompress

import pytest

from taskbound.core.action import canonical, parse_document
from taskbound.core.errors import MalformedError

CORPUS = Path(__file__).parents[2] / "corpus" / "g1.jsonl"
ASKED = {f"A{number:03}" for number in (*range(1, 22), *range(25, 30))}
# Of one document: A022 to A024 are of a surface's own fields, A030 to A032 of HTTP.

ROWS = {row["id"]: row for row in map(json.loads, CORPUS.read_text(encoding="ascii").splitlines())}
MESSAGE = (
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo__echo","arguments":',
    b"}}",
)


def document(name: str) -> bytes:
    row = ROWS[name]
    return decompress(b64decode(row["zlib_b64"])) if "zlib_b64" in row else b64decode(row["bytes_b64"])


def answer(raw: bytes) -> str:
    try:
        parse_document(raw)
    except MalformedError as error:
        return type(error).code
    return "ok"


@pytest.mark.parametrize("name", ROWS)
def test_g1_a_document_gets_exactly_the_answer_of_the_corpus(name: str) -> None:
    assert answer(document(name)) == ROWS[name]["expect"]


@pytest.mark.parametrize("name", [name for name in ROWS if ROWS[name]["place"] == "arguments"])
def test_g1_arguments_get_the_same_answer_when_they_stand_in_a_message(name: str) -> None:
    assert answer(document(name).join(MESSAGE)) == ROWS[name]["expect"]


@pytest.mark.parametrize("name", [name for name in ROWS if ROWS[name]["expect"] == "ok"])
def test_g1_what_is_accepted_reads_the_same_after_it_was_written_canonically(name: str) -> None:
    value = parse_document(document(name))
    again = parse_document(canonical(value))
    assert repr(again) == repr(value) or again == value
    assert canonical(again) == canonical(value)


@pytest.mark.parametrize("name", [name for name in ROWS if "same_as" in ROWS[name]])
def test_g1_spellings_of_one_document_have_one_canonical_text(name: str) -> None:
    other = document(ROWS[name]["same_as"])
    assert canonical(parse_document(document(name))) == canonical(parse_document(other))


@pytest.mark.parametrize("name", [name for name in ROWS if "canonical_b64" in ROWS[name]])
def test_a025_keys_are_sorted_as_rfc_8785_says(name: str) -> None:
    assert canonical(parse_document(document(name))) == b64decode(ROWS[name]["canonical_b64"])


def test_the_corpus_asks_all_of_g1_that_is_about_one_document() -> None:
    assert {name[:4] for name in ROWS} == ASKED


def test_each_refusing_entry_of_the_corpus_has_a_benign_one_in_its_family() -> None:
    twins = {row["twin_of"] for row in ROWS.values() if "twin_of" in row}
    without = {name for name, row in ROWS.items() if row["expect"] != "ok" and name not in twins}
    # What has no shape of its own to keep (nothing at all, another encoding) has its family's twin.
    assert {name.partition(".")[0] for name in without} <= {twin.partition(".")[0] for twin in twins}
    assert all(ROWS[row["twin_of"]]["expect"] != "ok" for row in ROWS.values() if "twin_of" in row)
    assert all(row["expect"] == "ok" for row in ROWS.values() if "twin_of" in row)
