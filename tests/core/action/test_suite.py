from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskbound.core.action import canonical, parse_document
from taskbound.core.errors import MalformedError

ROOT = Path(__file__).parents[3]
SUITE = Path(os.environ.get("TASKBOUND_SHARED", ROOT.parent / "shared")) / "data" / "json-test-suite"
FILES = sorted(SUITE.glob("test_*/*.json"))

# What the suite says must be accepted and we refuse, with the reason.
STRICTER = {
    "y_object_duplicated_key.json": "duplicate-key",  # two readers may see two documents (design 4.1)
    "y_object_duplicated_key_and_value.json": "duplicate-key",  # the same, though the values are equal
}

# Which answer each case has that the suite leaves open; all others of these are accepted.
OPEN = {
    "i_number_double_huge_neg_exp.json": "number-range",
    "i_number_huge_exp.json": "not-finite",
    "i_number_neg_int_huge_exp.json": "not-finite",
    "i_number_pos_double_huge_exp.json": "not-finite",
    "i_number_real_neg_overflow.json": "not-finite",
    "i_number_real_pos_overflow.json": "not-finite",
    "i_number_real_underflow.json": "number-range",
    "i_number_too_big_neg_int.json": "number-range",
    "i_number_too_big_pos_int.json": "number-range",
    "i_number_very_big_negative_int.json": "number-range",
    "i_object_key_lone_2nd_surrogate.json": "lone-surrogate",
    "i_string_1st_surrogate_but_2nd_missing.json": "lone-surrogate",
    "i_string_1st_valid_surrogate_2nd_invalid.json": "lone-surrogate",
    "i_string_UTF-16LE_with_BOM.json": "not-utf8",
    "i_string_UTF-8_invalid_sequence.json": "not-utf8",
    "i_string_UTF8_surrogate_U+D800.json": "not-utf8",
    "i_string_incomplete_surrogate_and_escape_valid.json": "lone-surrogate",
    "i_string_incomplete_surrogate_pair.json": "lone-surrogate",
    "i_string_incomplete_surrogates_escape_valid.json": "lone-surrogate",
    "i_string_invalid_lonely_surrogate.json": "lone-surrogate",
    "i_string_invalid_surrogate.json": "lone-surrogate",
    "i_string_invalid_utf-8.json": "not-utf8",
    "i_string_inverted_surrogates_U+1D11E.json": "lone-surrogate",
    "i_string_iso_latin_1.json": "not-utf8",
    "i_string_lone_second_surrogate.json": "lone-surrogate",
    "i_string_lone_utf8_continuation_byte.json": "not-utf8",
    "i_string_not_in_unicode_range.json": "not-utf8",
    "i_string_overlong_sequence_2_bytes.json": "not-utf8",
    "i_string_overlong_sequence_6_bytes.json": "not-utf8",
    "i_string_overlong_sequence_6_bytes_null.json": "not-utf8",
    "i_string_truncated-utf-8.json": "not-utf8",
    "i_string_utf16BE_no_BOM.json": "not-utf8",
    "i_string_utf16LE_no_BOM.json": "not-utf8",
    "i_structure_500_nested_arrays.json": "too-deep",
    "i_structure_UTF-8_BOM_empty_object.json": "byte-order-mark",
}

pytestmark = pytest.mark.skipif(not FILES, reason="the JSONTestSuite is not beside this repository")


def answer(file: Path) -> str:
    try:
        value = parse_document(file.read_bytes())
    except MalformedError as error:
        return type(error).code
    assert parse_document(canonical(value)) == value
    return "ok"


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.name.startswith("y_")], ids=lambda file: file.name
)
def test_what_is_json_is_accepted_unless_a_stricter_rule_says_no(file: Path) -> None:
    assert answer(file) == STRICTER.get(file.name, "ok")


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.name.startswith("n_")], ids=lambda file: file.name
)
def test_what_is_not_json_is_refused_by_name(file: Path) -> None:
    assert answer(file) != "ok"


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.name.startswith("i_")], ids=lambda file: file.name
)
def test_what_the_suite_leaves_open_has_one_answer(file: Path) -> None:
    assert answer(file) == OPEN.get(file.name, "ok")


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.parent.name == "test_transform"], ids=lambda file: file.name
)
def test_what_other_readers_change_is_kept_or_refused(file: Path) -> None:
    refused = {"duplicate-key", "lone-surrogate", "not-utf8", "number-range"}
    assert answer(file) in refused | {"ok"}


def test_the_suite_is_whole() -> None:
    kinds = [file.name[:2] for file in FILES if file.parent.name == "test_parsing"]
    assert (kinds.count("y_"), kinds.count("n_"), kinds.count("i_")) == (95, 188, 35)
