"""Values of JSON for property tests: what `parse_document` may read, with a taste for edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from taskbound.core.action import MAX_INTEGER

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue


# Characters of which each has its own way to go wrong.
_TRICKY = (
    "aZ09 \\\"/'{}[]:,._-\n\r\t\b\f\x00\x1b\x7f\x80\u0430\u03bf\u0301\u0338\u200b\u200d\u202e\u2066\u2028"
    "\u00a0\u1100\u1161\u11a8\uac00\u212a\u017f\u212b\u0130\u0131\ufe0f\ufeff\uff41\u2460\u4e2d\u30ab"
    "\ufb33\ue000\uffff\U0001f600\U000e0041\U000e0100\U0010ffff"
)

whole_text = st.text(st.characters(exclude_categories=["Cs"]))
"""Text that UTF-8 can carry."""

tricky_text = st.text(st.sampled_from([*_TRICKY, "\ud800", "\udc00"]), max_size=60)
"""Text that hides, joins, folds or breaks; half pairs included."""

fractions = st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda number: not MAX_INTEGER < abs(number) < 1e21
)
"""Floats that may be written."""

_texts = whole_text | st.text(st.sampled_from(_TRICKY), max_size=12)
_leaves = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | fractions | _texts

json_values: st.SearchStrategy[JsonValue] = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_texts, inner, max_size=5),
    max_leaves=25,
)
json_objects: st.SearchStrategy[dict[str, JsonValue]] = st.dictionaries(_texts, json_values, max_size=5)
