"""What a reading tool answers when it is given the value of an argument, and which call it was read for.

1. `TOOL#ARGUMENT`: the tool `server__tool`, called with that one argument and no other. A declaration is
   kept with the digest of the definition that a person saw, `TOOL#ARGUMENT@DIGEST`.
2. The value is a text, or an integer: the tool's own schema says which. The call's argument object is
   canonical, and is what the server gets.
3. What is compared is SHA-256 of the canonical JSON of the result's `content` and `structuredContent`. Its
   `_meta` is for whoever carries it, and may be another each time.
4. A reading call is presented under a name that no client's id can be: an array of a word, the id of the
   call that it is made for, and a number. So the record says of each what it was read for.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical, parse_object
from taskbound.core.approval.errors import BadProbeError, OperandUnreadableError
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool import parse_tool_name

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue


WITNESS: Final = "the gateway, which runs under the agent's account: it shows change and proves nothing"
"""Whose word an answer is, as people read and sign it."""
_LONGEST: Final = 1_000
_WHERE: Final = re.compile(r"([^#@]+)#([A-Za-z0-9_][A-Za-z0-9_.-]{0,99})(?:@([0-9a-f]{64}))?")
_COMPARED: Final = ("content", "structuredContent")
_MARK: Final = re.compile(r'\["read",(.+),[0-9]+\]', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingTool:
    """The tool that is called to read, and the argument that it takes (rule 1)."""

    tool: str
    argument: str
    definition: str = ""
    """Digest of its definition when it was declared; empty as long as a person writes it."""

    @property
    def text(self) -> str:
        """As it is written."""
        return f"{self.tool}#{self.argument}" + (f"@{self.definition}" if self.definition else "")

    def arguments(self, value: JsonValue, place: str) -> str:
        """The canonical argument object of the reading call (rule 2).

        Raises:
            OperandUnreadableError: The value is neither, or too long.
        """
        number = isinstance(value, int) and not isinstance(value, bool)
        if not number and not (isinstance(value, str) and value and len(value) <= _LONGEST):
            raise OperandUnreadableError(f"argument `{place}` is nothing that can be read by", where=place)
        return canonical({self.argument: value}).decode()


def parse_reading(where: str) -> ReadingTool:
    """The reading tool that a declaration names.

    Raises:
        BadProbeError: It names none (rule 1).
    """
    found = _WHERE.fullmatch(where)
    if found is None:
        raise BadProbeError("an answer is one of a tool that reads: `answer:SERVER__TOOL#ARGUMENT`")
    tool, argument, definition = found.groups(default="")
    try:
        parse_tool_name(tool)
    except MalformedError as error:
        raise BadProbeError(f"an answer is one of a tool that reads: {error.message}") from error
    return ReadingTool(tool=tool, argument=argument, definition=definition)


def digest_of(result: bytes) -> str:
    """What is compared of a result (rule 3): 64 lowercase hexadecimal digits.

    Raises:
        MalformedError: It is no strict JSON object.
    """
    value = parse_object(result)
    return sha256(canonical({name: value[name] for name in _COMPARED if name in value})).hexdigest()


def read_for(request: str) -> str:
    """The client's id of the call that this presentation reads for (rule 4); empty when it reads for none."""
    found = _MARK.fullmatch(request)
    return found.group(1) if found is not None else ""
