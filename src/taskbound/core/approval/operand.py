"""What a probe found behind an argument of a held call, and the tool calls that serve as probes.

Of `operand`:

1. Operands are part of what approvers sign, so a changed file or reference is another question.
2. Each kind of probe has a fixed set of fields; any other set is refused.

Of `answer`:

1. `TOOL#ARGUMENT` names a tool that is called with this argument only. A stored declaration ends with
   `@DIGEST`, the digest of the definition that a person saw.
2. The value is a text or an integer, according to the tool's schema. The server gets the canonical arguments.
3. SHA-256 of the canonical `content` and `structuredContent` is compared; `_meta` may vary and is ignored.
4. The request id of a reading call is an array of a word, the id of the held call and a number, which no
   client can send. So the audit record links it to the held call.
"""

from __future__ import annotations

import re
from enum import Enum
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical, parse_object
from taskbound.core.approval.errors import BadProbeError, OperandUnreadableError, UnreadableQuestionError
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool import parse_tool_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action import JsonValue


class ProbeKind(Enum):
    """How the thing behind an argument is read."""

    FILE = "file"
    REVISION = "revision"
    """The object that a ref of a git repository names: a commit, or a tag that names its commit for good."""
    ROW = "row"
    """The version of a table row, or its absence."""
    ETAG = "etag"
    """The strong ETag of a page."""
    ANSWER = "answer"
    """The digest of what a reading tool answers, and whose word that is."""


NO_ROW: Final = "no such row"
"""The version of a row that is not there; no other reads so, since each begins with its type."""
FINDINGS: Final[Mapping[ProbeKind, frozenset[str]]] = MappingProxyType(
    {
        ProbeKind.FILE: frozenset({"path", "device", "inode", "size", "sha256"}),
        ProbeKind.REVISION: frozenset({"object", "path", "ref"}),
        ProbeKind.ROW: frozenset({"row", "table", "key", "version"}),
        ProbeKind.ETAG: frozenset({"page", "etag"}),
        ProbeKind.ANSWER: frozenset({"tool", "arguments", "sha256", "by"}),
    }
)
"""What each kind of probe says (rule 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """What a probe found behind one argument."""

    place: str
    """JSON Pointer of the argument."""
    kind: ProbeKind
    found: tuple[tuple[str, str], ...]
    """Name and value, by name in order."""

    def __post_init__(self) -> None:
        names = [name for name, _ in self.found]
        if names != sorted(FINDINGS[self.kind]):
            raise UnreadableQuestionError(
                f"a probe of kind `{self.kind.value}` says {', '.join(sorted(FINDINGS[self.kind]))}",
                where=self.place,
            )

    def value(self) -> dict[str, JsonValue]:
        """The JSON value of this operand in a question."""
        return {"found": dict(self.found), "kind": self.kind.value, "place": self.place}


def parse_operand(value: JsonValue) -> Operand:
    """Parses the output of `Operand.value`; raises UnreadableQuestionError for anything else."""
    match value:
        case {"found": dict() as found, "kind": str() as kind, "place": str() as place, **more} if not more:
            pairs = tuple((name, said) for name, said in sorted(found.items()) if isinstance(said, str))
            if kind in {one.value for one in ProbeKind} and len(pairs) == len(found):
                return Operand(place=place, kind=ProbeKind(kind), found=pairs)
    raise UnreadableQuestionError("an operand can't be read")


def differing(before: Iterable[Operand], now: Iterable[Operand]) -> str:
    """Describes in words which operands changed since the question; empty if none did."""
    then, after = ({one.place: one for one in some} for some in (before, now))
    for place in sorted(then.keys() | after.keys()):
        old, new = then.get(place), after.get(place)
        if old is None or new is None or old.kind is not new.kind:
            return f"`{place}` is looked at in another way"
        for (name, was), (_, found) in zip(old.found, new.found, strict=True):
            if was != found:
                return f"the {name} behind `{place}`"
    return ""


WITNESS: Final = "the gateway, which runs under the agent's account: it shows change and proves nothing"
"""Whose word an answer is, as people read and sign it."""
_LONGEST: Final = 1_000
_WHERE: Final = re.compile(r"([^#@]+)#([A-Za-z0-9_][A-Za-z0-9_.-]{0,99})(?:@([0-9a-f]{64}))?")
_COMPARED: Final = ("content", "structuredContent")
_MARK: Final = re.compile(r'\["read",(.+),[0-9]+\]', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingTool:
    """A tool that is called to read, and its argument (rule 1)."""

    tool: str
    argument: str
    definition: str = ""
    """Digest of its definition when it was declared; empty as long as a person writes it."""

    @property
    def text(self) -> str:
        """The text form, `TOOL#ARGUMENT`."""
        return f"{self.tool}#{self.argument}" + (f"@{self.definition}" if self.definition else "")

    def arguments(self, value: JsonValue, place: str) -> str:
        """The canonical arguments (rule 2); raises OperandUnreadableError for an unusable value."""
        number = isinstance(value, int) and not isinstance(value, bool)
        if not number and not (isinstance(value, str) and value and len(value) <= _LONGEST):
            raise OperandUnreadableError(f"argument `{place}` is nothing that can be read by", where=place)
        return canonical({self.argument: value}).decode()


def parse_reading(where: str) -> ReadingTool:
    """Parses `TOOL#ARGUMENT`; raises BadProbeError."""
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
    """The compared digest of a result (rule 3), in lowercase hex; raises MalformedError for bad JSON."""
    value = parse_object(result)
    return sha256(canonical({name: value[name] for name in _COMPARED if name in value})).hexdigest()


def read_for(request: str) -> str:
    """The request id of the call that this reading call serves (rule 4); empty for any other request."""
    found = _MARK.fullmatch(request)
    return found.group(1) if found is not None else ""
