"""Every string and key of a value that holds something a reader may not see, with its place.

Rules:

1. Flags are facts for policy and marks for screens: they change nothing and refuse nothing.
2. The order is that of the canonical text, so that one action has one answer.
3. What is too much to look at is flagged: after 256 flags, or 25,000 strings, or 100,000
   characters of strings that aren't ASCII, one last flag says `unread`. A flood hides
   nothing, and its cost is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action.escape import escape_text
from taskbound.core.action.text import TextKind, kinds_in
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.action.canonical import JsonValue


_FLAGS: Final = 256
_WORK: Final = 100_000
_WORK_PER_STRING: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFlag:
    """One kind of character in one string or key."""

    path: str
    """A JSON pointer (RFC 6901) whose keys are written as `escape_text` writes them: safe to show."""
    kind: TextKind
    in_key: bool = False
    """Whether it stands in the last key of the path, and not in the value there."""


def flag_text(value: JsonValue) -> tuple[TextFlag, ...]:
    """What in the value's strings and keys a reader may not see."""
    flags: list[TextFlag] = []
    work = _WORK
    for path, text, in_key in _strings(value, ()):
        work -= _WORK_PER_STRING + (0 if text.isascii() else len(text))
        if work < 0 or len(flags) >= _FLAGS:
            flags.append(TextFlag(path=_pointer(path), kind=TextKind.UNREAD))  # 3
            break
        kinds = kinds_in(text)
        if kinds:
            pointer = _pointer(path)
            ordered = sorted(kinds, key=lambda kind: kind.value)
            flags.extend(TextFlag(path=pointer, kind=kind, in_key=in_key) for kind in ordered)
    return tuple(flags)


def _strings(
    value: JsonValue, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str, bool]]:
    """Each string and key, its path, and whether it is a key (rule 2)."""
    if isinstance(value, str):
        yield path, value, False
    elif isinstance(value, dict):
        for key in sorted(value):
            inner = (*path, key)
            yield inner, key, True
            if isinstance(value[key], str | dict | list):
                yield from _strings(value[key], inner)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            if isinstance(item, str | dict | list):
                yield from _strings(item, (*path, at))


def _pointer(path: tuple[str | int, ...]) -> str:
    return "".join(f"/{_step(key)}" for key in path)


def _step(key: str | int) -> str:
    return escape_text(str(key)).replace("~", "~0").replace("/", "~1")
