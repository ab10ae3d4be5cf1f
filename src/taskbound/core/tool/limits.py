"""What a server that is started may use of this machine: limits that a person declares, pinned with it.

Rules:

1. `cpu` is seconds of processor time over its whole life, `files` how many files may be open, `memory` bytes
   of data, `processes` how many its account may have, `size` bytes of one file that is written. Each is of
   one process and handed down to those that it starts, but for `processes`.
2. Each is declared once, in the order of the names. `none` is kept as 0: the server is to have no such limit,
   also where servers have one by default. What is not declared is as it is by default.
3. Bytes are written with `KiB`, `MiB` or `GiB` or as they are, everything else as a whole number. A limit
   that no program could start under is none.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from taskbound.core.tool.errors import BadLimitError
from taskbound.core.tool.name import shown

if TYPE_CHECKING:
    from collections.abc import Sequence


Limit = tuple[str, int]
"""A name and how much; 0 is none."""
LEAST: Final = {"cpu": 1, "files": 16, "memory": 16 << 20, "processes": 1, "size": 1}
"""Each limit with the least that it can be."""
_UNITS: Final = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_BYTES: Final = frozenset({"memory", "size"})
_NONE: Final = "none"
_MOST: Final = 1 << 53
_WORD: Final = re.compile(
    r"(?P<name>[a-z]+)=(?:(?P<none>none)|(?P<count>[1-9][0-9]{0,15})(?P<unit>[KMG]iB)?)"
)


def parse_limits(words: Sequence[str]) -> tuple[Limit, ...]:
    """The limits that words such as `memory=1GiB` declare, sorted.

    Raises:
        BadLimitError: One is none, or stands twice.
    """
    found = tuple(sorted(map(_parse, words)))
    require_limits(found)
    return found


def require_limits(limits: Sequence[Limit]) -> None:
    """Go on only with limits that rules 1 to 3 allow.

    Raises:
        BadLimitError: They don't.
    """
    for name, much in limits:
        if name not in LEAST:
            raise BadLimitError(f"there is no limit `{shown(name)}`")
        if much and not LEAST[name] <= much <= _MOST:
            raise BadLimitError(f"`{name}` is at least {_written(name, LEAST[name])}, and at most 2^53")
    if any(one >= other for (one, _), (other, _) in pairwise(limits)):
        raise BadLimitError("a limit is declared twice, or they are not sorted")


def limit_words(limits: Sequence[Limit]) -> str:
    """The limits as a person declares them."""
    return " ".join(f"{name}={_written(name, much)}" for name, much in limits)


def _parse(word: str) -> Limit:
    found = _WORD.fullmatch(word)
    if found is None or (found["unit"] and found["name"] not in _BYTES):
        raise BadLimitError(f"`{shown(word)}` declares no limit")
    if found["none"]:
        return found["name"], 0
    return found["name"], int(found["count"]) * _UNITS.get(found["unit"] or "", 1)


def _written(name: str, much: int) -> str:
    if not much:
        return _NONE
    for unit, size in reversed(_UNITS.items()):
        if name in _BYTES and much % size == 0:
            return f"{much // size}{unit}"
    return str(much)
