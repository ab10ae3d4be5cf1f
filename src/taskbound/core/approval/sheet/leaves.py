"""The arguments as leaves, each with the whole way to it.

Rules:

1. A leaf is a text, a number, true, false, null, or an object or list that is empty. Every value
   is its leaves, in the order of the canonical bytes, and nothing else.
2. A number is written as in the canonical bytes, digit for digit.
3. A way is keys, which are texts, and places in lists, which are numbers from 0 in brackets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.action import canonical
from taskbound.core.approval.sheet.lines import Quoted
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.action import JsonValue
    from taskbound.core.approval.sheet.lines import Atom


Way: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A value without parts, and where it stands."""

    way: Way
    value: JsonValue


def leaves(value: JsonValue, way: Way = ()) -> Iterator[Leaf]:
    """The leaves of a value, in order (rule 1)."""
    match value:
        case dict() if value or not way:  # all arguments are an object, also without leaves
            for key, inner in value.items():
                yield from leaves(inner, (*way, key))
        case list() if value:
            for at, inner in enumerate(value):
                yield from leaves(inner, (*way, at))
        case _:
            yield Leaf(way=way, value=value)


def leaf_atoms(leaf: Leaf) -> tuple[Atom, ...]:
    """The way to a leaf and its value, as they are shown."""
    atoms: list[Atom] = []
    for step in leaf.way:
        if isinstance(step, int):
            atoms.append(f"[{step}]")
        else:
            atoms += [".", Quoted(text=step)] if atoms else [Quoted(text=step)]
    match leaf.value:
        case str():
            atoms += ["=", "text", Quoted(text=leaf.value)]
        case dict():
            atoms += ["=", "empty", "object"]
        case list():
            atoms += ["=", "empty", "list"]
        case bool() | None:
            atoms += ["=", canonical(leaf.value).decode()]
        case _:
            atoms += ["=", "number", canonical(leaf.value).decode()]
    return tuple(atoms)
