"""The one shape of a tool's name, ``server__tool``, which splits in exactly one way.

1. The whole name has at most 128 characters, all of them ASCII (MCP, Tools, Tool Names).
2. *server* is `[a-z0-9][a-z0-9-]*`, at most 32 characters. It holds no `_`, so the first
   `__` ends it, whatever the tool is called.
3. *tool* is what the server calls it: letters, digits, `_`, `-` and `.`; it begins with a
   letter, a digit or `_`. Case matters. Or it is *reserved*: one of `RESERVED_NAMES`, what a server can be
   asked for beside its tools, and what it may ask of the one who called it (`method`); or `credential/KIND`,
   what a target mints (`core.target`). Each holds a `/`, so no server can call a tool of its own so.
4. In one list no two names are equal, and no two differ only in what is not told apart:
   case, `_` `-` `.` `/` (clients rewrite them), 0 and O, 1, I and l, rn and m.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.action.escape import escape_text
from taskbound.core.tool.errors import (
    BadServerNameError,
    BadToolNameError,
    DuplicateToolError,
    ForeignCharacterError,
    LookAlikeToolError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


MAX_TOOL_NAME: Final = 128
MAX_SERVER_NAME: Final = 32
SEPARATOR: Final = "__"
METHOD_NAMES: Final = frozenset(
    {"completion/complete", "prompts/get", "resources/read", "resources/subscribe"}
)
"""Methods of MCP that are actions of their own, under the name of their server (rule 3)."""
QUESTION_NAMES: Final = frozenset({"elicitation/create", "roots/list", "sampling/createMessage"})
"""What a server asks of a client: actions too, under the name of the server that asks (rule 3)."""
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
    """Whether a tool of this own name is nothing that a server calls so (rule 3)."""
    return tool in RESERVED_NAMES or _KIND.fullmatch(tool) is not None


def credential_kind(tool: str) -> tuple[str, str] | None:
    """Target and kind of the credential that a tool of this whole name asks for; None where it is none."""
    target, mark, kind = tool.partition(f"{SEPARATOR}{CREDENTIAL}")
    return (target, kind) if mark and is_reserved(CREDENTIAL + kind) else None


def parse_tool_name(text: str) -> tuple[str, str]:
    """The server's name and the tool's own.

    Raises:
        ForeignCharacterError: It holds a character beyond ASCII (rule 1).
        BadServerNameError: What stands before the first `__` names no server (rule 2).
        BadToolNameError: Anything else that is not one `server__tool` name.
    """
    _require_ascii(text)
    if len(text) > MAX_TOOL_NAME:
        raise BadToolNameError(f"a tool's name has at most {MAX_TOOL_NAME} characters, not {len(text)}")
    server, mark, tool = text.partition(SEPARATOR)
    if not mark or (_TOOL.fullmatch(tool) is None and not is_reserved(tool)):
        raise BadToolNameError(f"`{shown(text)}` is not a name of the shape `server__tool`")
    parse_server_name(server)
    return server, tool


def parse_own_name(text: str) -> str:
    """The text, which is what a server may call a tool (rule 3).

    Raises:
        ForeignCharacterError: It holds a character beyond ASCII.
        BadToolNameError: It does not follow rule 3, or leaves no room for a server's name.
    """
    _require_ascii(text)
    if len(text) > MAX_TOOL_NAME - len(SEPARATOR) - 1 or _TOOL.fullmatch(text) is None:
        raise BadToolNameError(f"`{shown(text)}` can't name a tool")
    return text


def parse_server_name(text: str) -> str:
    """The text, which can name a server.

    Raises:
        ForeignCharacterError: It holds a character beyond ASCII.
        BadServerNameError: It does not follow rule 2.
    """
    _require_ascii(text)
    if len(text) > MAX_SERVER_NAME or _SERVER.fullmatch(text) is None:
        raise BadServerNameError(f"`{shown(text)}` can't name a server")
    return text


def join_tool_name(server: str, tool: str) -> str:
    """The full name of a server's tool.

    Raises:
        ForeignCharacterError: One of the two holds a character beyond ASCII.
        BadServerNameError: The server's name does not follow rule 2.
        BadToolNameError: The tool's does not follow rule 3, or both are too long together.
    """
    name = f"{parse_server_name(server)}{SEPARATOR}{tool}"
    parse_tool_name(name)
    return name


def require_distinct(names: Iterable[str]) -> None:
    """Go on only when no name stands twice, or for another's (rule 4).

    Raises:
        DuplicateToolError: A name stands twice.
        LookAlikeToolError: Two names can be taken for each other.
    """
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
    """A text from outside in one short line with visible escapes, to stand between backticks."""
    plain = escape_text(text[: _SHOWN + 1]).replace("`", "\\u{60}")
    return plain if len(plain) <= _SHOWN else plain[: _SHOWN - 1] + "…"


def look_of(name: str) -> str:
    """What the name looks like: two names of one look can be taken for each other (rule 4)."""
    return name.lower().translate(_ALIKE).replace("rn", "m")


def _require_ascii(text: str) -> None:
    if text.isascii():
        return
    odd = next(letter for letter in text if not letter.isascii())
    raise ForeignCharacterError(f"the name `{shown(text)}` holds the character U+{ord(odd):04X}")
