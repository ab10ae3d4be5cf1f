"""What an action uses that can change while a person thinks: found when asked, and again when used.

1. An operand is what a probe found behind one argument. It is part of what people sign, so that a file
   which was written over, or a name that leads elsewhere now, is another question.
2. Each kind of probe says a fixed set of things; what says less or more is no operand.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from taskbound.core.approval.errors import UnreadableQuestionError
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action import JsonValue


class ProbeKind(Enum):
    """How the thing behind an argument is looked at."""

    FILE = "file"
    REVISION = "revision"
    """The object that a ref of a git repository names: a commit, or a tag that names its commit for good."""
    ROW = "row"
    """The version of a row of a table, or that there is none."""
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
        """Refuse what its kind doesn't say, before it can be shown or signed.

        Raises:
            UnreadableQuestionError: Something is missing, said twice, or not of this kind.
        """
        names = [name for name, _ in self.found]
        if names != sorted(FINDINGS[self.kind]):
            raise UnreadableQuestionError(
                f"a probe of kind `{self.kind.value}` says {', '.join(sorted(FINDINGS[self.kind]))}",
                where=self.place,
            )

    def value(self) -> dict[str, JsonValue]:
        """As it stands in a question."""
        return {"found": dict(self.found), "kind": self.kind.value, "place": self.place}


def parse_operand(value: JsonValue) -> Operand:
    """The operand that `Operand.value` wrote.

    Raises:
        UnreadableQuestionError: It is none.
    """
    match value:
        case {"found": dict() as found, "kind": str() as kind, "place": str() as place, **more} if not more:
            pairs = tuple((name, said) for name, said in sorted(found.items()) if isinstance(said, str))
            if kind in {one.value for one in ProbeKind} and len(pairs) == len(found):
                return Operand(place=place, kind=ProbeKind(kind), found=pairs)
    raise UnreadableQuestionError("an operand can't be read")


def differing(before: Iterable[Operand], now: Iterable[Operand]) -> str:
    """What is another thing now than when it was asked, in words; empty when nothing is."""
    then, after = ({one.place: one for one in some} for some in (before, now))
    for place in sorted(then.keys() | after.keys()):
        old, new = then.get(place), after.get(place)
        if old is None or new is None or old.kind is not new.kind:
            return f"`{place}` is looked at in another way"
        for (name, was), (_, found) in zip(old.found, new.found, strict=True):
            if was != found:
                return f"the {name} behind `{place}`"
    return ""
