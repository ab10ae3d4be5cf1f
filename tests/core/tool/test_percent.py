from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.tool.name import decoded, encoded

TEXTS = st.text(st.characters(codec="utf-8"))


@given(TEXTS)
def test_any_text_is_written_as_the_standard_library_does_and_read_back(text: str) -> None:
    assert encoded(text) == quote(text, safe="")
    assert decoded(encoded(text)) == text


@given(st.text("%0aF&é ", max_size=8))
def test_what_is_read_is_what_the_standard_library_reads_or_refused(text: str) -> None:
    try:
        found = decoded(text)
    except ValueError:
        return
    assert found == unquote(text, errors="strict")


@pytest.mark.parametrize("text", ["%", "%2", "%zz", "a%", "%ff", "%C3", "%ED%A0%80"])
def test_what_stands_for_no_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - a decoder's own error is one too
        decoded(text)
