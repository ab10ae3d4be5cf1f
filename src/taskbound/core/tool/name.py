"""Names of tools, percent-encoding, URI templates and resource limits.

`name`: A full name has at most 128 ASCII characters (MCP, Tools, Tool Names). *server* is
`[a-z0-9][a-z0-9-]*`, at most 32 characters, without `_`, so the first `__` ends it. *tool* is the server's
name for it: letters, digits, `_`, `-` and `.`, beginning with a letter, digit or `_`; case matters. A
*reserved* name is one of `RESERVED_NAMES` or `credential/KIND` (`core.target`); each holds a `/`, which
servers cannot use. Names in a list must not be equal or differ only in confusable characters: case, `_`
`-` `.` `/`, 0 and O, 1, I and l, rn and m.

`percent`: Unreserved characters stay; other bytes are `%` and two uppercase hex digits. Decoding refuses
incomplete escapes and bytes that are not UTF-8.

`template`: A simple expression matches any characters except `/`, `?` and `#`; one with an operator any. A
match is no authorization. At most 16 expressions and 2,048 characters, with paired braces. Matching is
linear in the URI and never backtracks.

`limits`: `cpu` in seconds, `files` open files, `memory` bytes, `processes` per account, `size` bytes per
written file. All but `processes` are per process and inherited. Each is declared once, in name order.
`none` is stored as 0 and removes a default limit. Bytes may have `KiB`, `MiB` or `GiB`. Limits too low for
any program are refused.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.errors import (
    BadLimitError,
    BadServerNameError,
    BadTemplateError,
    BadToolNameError,
    DuplicateToolError,
    ForeignCharacterError,
    LookAlikeToolError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


MAX_TOOL_NAME: Final = 128
MAX_SERVER_NAME: Final = 32
SEPARATOR: Final = "__"
METHOD_NAMES: Final = frozenset(
    {"completion/complete", "prompts/get", "resources/read", "resources/subscribe"}
)
"""Methods of MCP that are actions of their own, under the name of their server."""
QUESTION_NAMES: Final = frozenset({"elicitation/create", "roots/list", "sampling/createMessage"})
"""What a server asks of a client: actions too, under the name of the server that asks."""
RESERVED_NAMES: Final = METHOD_NAMES | QUESTION_NAMES
"""Names that are MCP's, and no server's to give."""
CREDENTIAL: Final = "credential/"
"""What the name of a kind of credential begins with, as a tool of its target."""

_SERVER: Final = re.compile(r"[a-z0-9][a-z0-9-]*")
_KIND: Final = re.compile(r"credential/[a-z][a-z0-9-]{0,31}")
_TOOL: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SHOWN: Final = 80
_ALIKE: Final = str.maketrans({"1": "l", "i": "l", "0": "o", "-": "_", ".": "_", "/": "_"})


def is_reserved(tool: str) -> bool:
    return tool in RESERVED_NAMES or _KIND.fullmatch(tool) is not None


def credential_kind(tool: str) -> tuple[str, str] | None:
    """Target and kind if this full name requests a credential, else None."""
    target, mark, kind = tool.partition(f"{SEPARATOR}{CREDENTIAL}")
    return (target, kind) if mark and is_reserved(CREDENTIAL + kind) else None


def parse_tool_name(text: str) -> tuple[str, str]:
    _require_ascii(text)
    if len(text) > MAX_TOOL_NAME:
        raise BadToolNameError(f"a tool's name has at most {MAX_TOOL_NAME} characters, not {len(text)}")
    server, mark, tool = text.partition(SEPARATOR)
    if not mark or (_TOOL.fullmatch(tool) is None and not is_reserved(tool)):
        raise BadToolNameError(f"`{shown(text)}` is not a name of the shape `server__tool`")
    parse_server_name(server)
    return server, tool


def parse_own_name(text: str) -> str:
    _require_ascii(text)
    if len(text) > MAX_TOOL_NAME - len(SEPARATOR) - 1 or _TOOL.fullmatch(text) is None:
        raise BadToolNameError(f"`{shown(text)}` can't name a tool")
    return text


def parse_server_name(text: str) -> str:
    _require_ascii(text)
    if len(text) > MAX_SERVER_NAME or _SERVER.fullmatch(text) is None:
        raise BadServerNameError(f"`{shown(text)}` can't name a server")
    return text


def join_tool_name(server: str, tool: str) -> str:
    name = f"{parse_server_name(server)}{SEPARATOR}{tool}"
    parse_tool_name(name)
    return name


def require_distinct(names: Iterable[str]) -> None:
    known: dict[str, str] = {}
    for name in names:
        skeleton = look_of(name)
        other = known.get(skeleton)
        if other is None:
            known[skeleton] = name
        elif other == name:
            raise DuplicateToolError(f"`{shown(name)}` stands twice in one list")
        else:
            raise LookAlikeToolError(f"`{shown(name)}` can be taken for `{shown(other)}`")


def shown(text: str) -> str:
    """Foreign text as one short escaped line, for use between backticks."""
    plain = escape_text(text[: _SHOWN + 1]).replace("`", "\\u{60}")
    return plain if len(plain) <= _SHOWN else plain[: _SHOWN - 1] + "…"


def look_of(name: str) -> str:
    """The canonical look of a name, equal for confusable names."""
    return name.lower().translate(_ALIKE).replace("rn", "m")


def _require_ascii(text: str) -> None:
    if text.isascii():
        return
    odd = next(letter for letter in text if not letter.isascii())
    raise ForeignCharacterError(f"the name `{shown(text)}` holds the character U+{ord(odd):04X}")


_OPEN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_TRIPLE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")


def encoded(text: str) -> str:
    return "".join(chr(one) if one in _OPEN else f"%{one:02X}" for one in text.encode())


def decoded(text: str) -> str:
    raw = text.encode()
    if b"%" in _TRIPLE.sub(b"", raw):
        raise ValueError("a `%` that begins no byte")
    return _TRIPLE.sub(lambda found: bytes((int(found[1], 16),)), raw).decode()


MAX_URI: Final = 8192
"""Characters of a URI that can be asked for."""
_MAX_TEMPLATE: Final = 2048
_MAX_EXPRESSIONS: Final = 16
_EXPRESSION: Final = re.compile(r"\{([^{}]*)\}")
_OPERATORS: Final = "+#./;?&=,!@|"
_STOPS: Final = re.compile(r"[/?#]")


@dataclass(frozen=True, slots=True, kw_only=True)
class UriTemplate:
    """A parsed template: literals, and the expressions between them."""

    literals: tuple[str, ...]
    """One more than there are expressions."""
    wide: tuple[bool, ...]
    """Of each expression, whether it stands for any characters at all."""

    @property
    def prefix(self) -> str:
        return self.literals[0]

    def stands_for(self, uri: str) -> bool:
        if len(uri) > MAX_URI or not uri.startswith(self.prefix):
            return False
        if not self.wide:
            return uri == self.prefix
        stops = [found.start() for found in _STOPS.finditer(uri)]
        places = [len(self.prefix)]
        for number, wide in enumerate(self.wide):
            literal = self.literals[number + 1]
            last = number == len(self.wide) - 1
            starts = [len(uri) - len(literal)] if last and uri.endswith(literal) else []
            if not last:
                starts = _occurrences(uri, literal, places[0])
            places = [
                start + len(literal)
                for start in starts
                if start >= places[0] and (wide or _reaches(places, start, stops))
            ]
            if not places:
                return False
        return True


def parse_template(text: str) -> UriTemplate:
    literals: list[str] = []
    wide: list[bool] = []
    at = 0
    for found in _EXPRESSION.finditer(text[: _MAX_TEMPLATE + 1]):
        literals.append(text[at : found.start()])
        wide.append(found[1][:1] in _OPERATORS)
        at = found.end()
    literals.append(text[at:])
    if (
        len(text) > _MAX_TEMPLATE
        or len(wide) > _MAX_EXPRESSIONS
        or any("{" in one or "}" in one for one in literals)
    ):
        raise BadTemplateError(f"`{shown(text)}` is no URI template that can be matched")
    return UriTemplate(literals=tuple(literals), wide=tuple(wide))


def _occurrences(uri: str, literal: str, first: int) -> list[int]:
    if not literal:
        return list(range(first, len(uri) + 1))
    found: list[int] = []
    at = uri.find(literal, first)
    while at >= 0:
        found.append(at)
        at = uri.find(literal, at + 1)
    return found


def _reaches(places: list[int], start: int, stops: list[int]) -> bool:
    nearest = places[bisect_right(places, start) - 1]
    return bisect_right(stops, nearest - 1) == bisect_right(stops, start - 1)


Limit = tuple[str, int]
"""A name and its value; 0 means no limit."""
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
    found = tuple(sorted(map(_parse, words)))
    require_limits(found)
    return found


def require_limits(limits: Sequence[Limit]) -> None:
    """Raises BadLimitError unless rules 1 to 3 hold."""
    for name, much in limits:
        if name not in LEAST:
            raise BadLimitError(f"there is no limit `{shown(name)}`")
        if much and not LEAST[name] <= much <= _MOST:
            raise BadLimitError(f"`{name}` is at least {_written(name, LEAST[name])}, and at most 2^53")
    if any(one >= other for (one, _), (other, _) in pairwise(limits)):
        raise BadLimitError("a limit is declared twice, or they are not sorted")


def limit_words(limits: Sequence[Limit]) -> str:
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
