from __future__ import annotations

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbound.core.action.canonical import JsonValue, canonical
from taskbound.core.errors import MalformedError
from taskbound.wire.document import Document, read_document

PIECES = st.sampled_from(
    [
        *"abx01 -:,?[]{}#&*!|>'\"%@`~.\\/=<\n\t\r\u00e9\u202e\x00",
        *("\n  ", "\n- ", ": ", " #", "---\n", "...\n", "<<: ", '"a"', "\r\n"),
    ]
)
TEXTS = st.lists(PIECES, max_size=30).map("".join)


def outcome(raw: bytes, name: str) -> Document | None:
    try:
        return read_document(raw, name)
    except MalformedError as error:
        found = error
    assert found.where.startswith(f"{name}:")
    line, caret = found.added_notes()
    assert (line + caret).isprintable()
    return None


def agrees(ours: JsonValue, theirs: object) -> bool:
    match ours:
        case dict():
            return (
                isinstance(theirs, dict)
                and list(ours) == list(theirs)
                and all(agrees(value, theirs[name]) for name, value in ours.items())
            )
        case list():
            return (
                isinstance(theirs, list)
                and len(ours) == len(theirs)
                and all(agrees(one, other) for one, other in zip(ours, theirs, strict=True))
            )
        case str():
            return ours == theirs
        case _:
            return isinstance(theirs, str)


@settings(max_examples=1500)
@given(TEXTS)
def test_any_text_is_one_value_that_another_reader_sees_too_or_one_error(text: str) -> None:
    document = outcome(text.encode(), "f.yaml")
    if document is not None:
        canonical(document.value)
        assert agrees(document.value, yaml.load(text, Loader=yaml.BaseLoader))  # noqa: S506 - it makes texts only


@settings(max_examples=500)
@given(
    TEXTS | st.binary(max_size=20).map(lambda raw: raw.decode("latin-1")), st.sampled_from(["f.json", "f"])
)
def test_any_text_is_one_value_of_json_or_one_error(text: str, name: str) -> None:
    document = outcome(text.encode(), name)
    if document is not None:
        canonical(document.value)


@given(st.binary(max_size=40))
def test_any_bytes_are_one_value_or_one_error(raw: bytes) -> None:
    for name in ("f.yaml", "f.json", "f"):
        outcome(raw, name)
