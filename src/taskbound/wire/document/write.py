"""A value as YAML for people, which `read_document` reads back as the same value.

1. Texts are plain where every reader takes them for texts, and JSON texts in double quotes otherwise. What
   could hide something (`places_in`) is an escape, so that a terminal can show what is written.
2. A mapping or list stands on one line where it fits, but for those that a person reads line by line.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.text import places_in
from taskbound.wire.document.yaml import is_ambiguous

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.core.action.canonical import JsonValue


_WIDTH: Final = 88
_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+-]*(?: [A-Za-z0-9_./@+-]+)*")


def write_yaml(value: JsonValue, *, order: Sequence[str] = (), blocks: Sequence[str] = ()) -> str:
    """The text of one document.

    Args:
        value: A JSON value.
        order: Members that stand first, in this order; the others follow by name.
        blocks: Members whose values, and the items of those, are written line by line.
    """
    return "\n".join(_Writer(order, blocks).lines(value, block=True)) + "\n"


class _Writer:
    def __init__(self, order: Sequence[str], blocks: Sequence[str]) -> None:
        self._rank = {name: at for at, name in enumerate(order)}
        self._blocks = frozenset(blocks)

    def lines(self, value: JsonValue, *, block: bool, items: bool = False) -> Iterator[str]:
        """The value's lines, without what they are indented by."""
        if self._is_flow(value, block=block):
            yield self.flow(value)
        elif isinstance(value, list):
            for item in value:
                first, *rest = self.lines(item, block=items)
                yield f"- {first}"
                yield from (f"  {line}" for line in rest)
        elif isinstance(value, dict):
            for name in self._sorted(value):
                member, inner = value[name], name in self._blocks
                inside = self.lines(member, block=inner, items=inner)
                if self._is_flow(member, block=inner):
                    yield f"{_text(name)}: {next(inside)}"
                else:
                    yield f"{_text(name)}:"
                    yield from (f"  {line}" for line in inside)

    def _is_flow(self, value: JsonValue, *, block: bool) -> bool:
        if not isinstance(value, dict | list) or not value:
            return True
        return not block and len(self.flow(value)) <= _WIDTH

    def flow(self, value: JsonValue) -> str:
        """The value on one line."""
        match value:
            case dict():
                members = (f"{_text(name)}: {self.flow(value[name])}" for name in self._sorted(value))
                return "{" + ", ".join(members) + "}"
            case list():
                return "[" + ", ".join(map(self.flow, value)) + "]"
            case str():
                return _text(value)
            case _:
                return canonical(value).decode()

    def _sorted(self, value: dict[str, JsonValue]) -> list[str]:
        return sorted(value, key=lambda name: (self._rank.get(name, len(self._rank)), name))


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and not is_ambiguous(text):
        return text
    hidden = places_in(text)
    return '"' + "".join(_escape(one) if at in hidden else _json(one) for at, one in enumerate(text)) + '"'


def _json(char: str) -> str:
    return json.dumps(char, ensure_ascii=False)[1:-1]


def _escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
