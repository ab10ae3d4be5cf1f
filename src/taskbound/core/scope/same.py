"""Whether two values are one: canonical JSON equality, without making the bytes.

1, 1.0 and 1e0 are one value; -0 and 0 are one; ``true`` is not 1; ``"1"`` is not 1;
texts are compared by code point, without normalization; the order of members says nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue


def same(left: JsonValue, right: JsonValue) -> bool:
    """Whether both have the same canonical bytes; what has none (NaN) is never the same as anything."""
    # Python compares numbers exactly and members without order; it only takes true for 1 and false for 0.
    return left == right and _same_truths(left, right)


def is_certain(value: JsonValue) -> bool:
    """Whether Python's own ``==`` with this value is canonical equality: it holds no truth value, 0 or 1."""
    if isinstance(value, dict):
        return all(map(is_certain, value.values()))
    if isinstance(value, list):
        return all(map(is_certain, value))
    return value not in (0, 1)


def _same_truths(left: JsonValue, right: JsonValue) -> bool:
    """Whether two values that are equal to Python have true and false in the same places."""
    if isinstance(left, dict) and isinstance(right, dict):
        return all(_same_truths(one, right[name]) for name, one in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return all(map(_same_truths, left, right))
    return isinstance(left, bool) == isinstance(right, bool)
