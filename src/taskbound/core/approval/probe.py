"""What a person declares of a tool: which arguments name something that can change, and where that may be.

1. `ARGUMENT=file:FOLDER`: the argument is the path of a file beneath the folder, or a list of such.
2. `ARGUMENT=revision:REPOSITORY`: the argument is a ref of that git repository;
   `ARGUMENT=revision:OTHER:FOLDER`: of the repository whose path argument OTHER holds, beneath the folder.
3. `ARGUMENT=row:PLACE`: the argument is the key of a row there (`row`); `ARGUMENT=etag:BASE`: it names a page
   beneath that URL (`page`). `ARGUMENT=answer:TOOL#OTHER`: the tool is called with the value as its argument
   OTHER (`answer`). Each may be a list of such.
4. A folder is an absolute path in normal form. There is one way to write a probe; what is declared of one
   argument is declared once.
5. A declared argument is there, or the pinned schema's default stands for it, and is a text or a list of
   texts; so many things are looked at for one call at most. What else it holds can't be looked at. A row's
   key may be an integer too, and is the same key as its digits: a database has types of its own.
6. What is on this machine's disk never waits; what is asked of anything else may, and is looked at elsewhere
   than calls are decided. What a tool answers is asked by the gateway, by a call with its own decision.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.approval.answer import parse_reading
from taskbound.core.approval.errors import BadProbeError, OperandOutsideError, OperandUnreadableError
from taskbound.core.approval.folder import is_folder
from taskbound.core.approval.operand import ProbeKind
from taskbound.core.approval.page import parse_root
from taskbound.core.approval.row import parse_row
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskbound.core.action import JsonValue


MOST_LOOKS: Final = 16
"""Things that are looked at for one call."""
_LONGEST: Final = 1_000
_DISK: Final = frozenset({ProbeKind.FILE, ProbeKind.REVISION})
_ELSEWHERE: Final[Mapping[str, Callable[[str], object]]] = {
    ProbeKind.ROW.value: parse_row,
    ProbeKind.ETAG.value: parse_root,
    ProbeKind.ANSWER.value: parse_reading,
}
"""What reads where it is that a probe looks, if it is not on the disk."""
_ARGUMENT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How what one argument names is looked at."""

    argument: str
    kind: ProbeKind
    where: str
    """The folder beneath which it is, the repository, the row's place in words, the URL, or what reads it."""
    repository: str = ""
    """The argument that holds the repository's path."""

    @property
    def text(self) -> str:
        """As a person writes it (rule 4)."""
        other = f"{self.repository}:" if self.repository else ""
        return f"{self.argument}={self.kind.value}:{other}{self.where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One thing that is to be looked at for one call."""

    place: str
    """JSON Pointer of the argument."""
    probe: Probe
    value: str
    directory: str
    """What a relative path starts from: where the server runs."""
    repository: str = ""
    """Path of the repository, where an argument holds it."""

    @property
    def is_near(self) -> bool:
        """Whether it is on this machine's disk (rule 6)."""
        return self.probe.kind in _DISK

    @property
    def is_read(self) -> bool:
        """Whether a tool has to be called for it (rule 6); then `value` is the argument object."""
        return self.probe.kind is ProbeKind.ANSWER


def parse_probe(text: str) -> Probe:
    """The probe that a person wrote.

    Raises:
        BadProbeError: It is none (rules 1 to 4).
    """
    argument, _, rest = text.partition("=")
    kind, _, where = rest.partition(":")
    if len(text) > _LONGEST or _ARGUMENT.fullmatch(argument) is None:
        raise BadProbeError("a probe begins with the name of an argument")
    repository = ""
    if kind == ProbeKind.REVISION.value and not where.startswith("/"):
        repository, _, where = where.partition(":")
        if _ARGUMENT.fullmatch(repository) is None:
            raise BadProbeError(f"`{argument}`: a revision is one of a repository")
    elif kind in _ELSEWHERE:
        _ELSEWHERE[kind](where)
        return Probe(argument=argument, kind=ProbeKind(kind), where=where)
    elif kind not in {one.value for one in _DISK}:
        raise BadProbeError(f"`{argument}` is looked at in no way that there is")
    if not is_folder(where):
        raise BadProbeError(f"`{argument}`: a folder is an absolute path without `.`, `..` or `//`")
    return Probe(argument=argument, kind=ProbeKind(kind), where=where, repository=repository)


def parse_probes(texts: Iterable[str]) -> tuple[Probe, ...]:
    """The probes of one tool, by argument in order.

    Raises:
        BadProbeError: One is none, there are too many, or two are about one argument.
    """
    found = sorted((parse_probe(one) for one in texts), key=lambda one: one.argument)
    if len({one.argument for one in found}) != len(found):
        raise BadProbeError("two probes are about one argument")  # 4
    if len(found) > MOST_LOOKS:
        raise BadProbeError(f"a tool has {MOST_LOOKS} probes at most")
    return tuple(found)


def looks_of(
    probes: Iterable[Probe],
    arguments: Mapping[str, JsonValue],
    defaults: Mapping[str, JsonValue],
    *,
    directory: str,
) -> tuple[Look, ...]:
    """What is to be looked at for a call with these arguments.

    Raises:
        OperandUnreadableError: It can't be said (rule 5).
        OperandOutsideError: It is not where a person declared it.
    """
    found: list[Look] = []
    for probe in probes:
        repository = ""
        if probe.repository:
            repository = _text(_value(probe.repository, arguments, defaults), _pointer(probe.repository))
        value = _value(probe.argument, arguments, defaults)
        place = _pointer(probe.argument)
        items = [(f"{place}/{at}", one) for at, one in enumerate(value)] if isinstance(value, list) else []
        for where, one in items or [(place, value)]:
            found.append(
                Look(
                    place=where,
                    probe=probe,
                    value=_named(probe, one, where),
                    directory=directory,
                    repository=repository,
                )
            )
    if len(found) > MOST_LOOKS:
        raise OperandUnreadableError(f"it names more than {MOST_LOOKS} things that would be looked at")
    return tuple(found)


def _value(name: str, arguments: Mapping[str, JsonValue], defaults: Mapping[str, JsonValue]) -> JsonValue:
    if name in arguments:
        return arguments[name]
    if name in defaults:
        return defaults[name]
    raise OperandUnreadableError(
        f"argument `{name}` is not there, and is what would be looked at", where=_pointer(name)
    )


def _text(value: JsonValue, place: str) -> str:
    if isinstance(value, str) and value:
        return value
    raise OperandUnreadableError(f"argument `{place}` is no text that names something", where=place)


def _named(probe: Probe, value: JsonValue, place: str) -> str:
    """What the value names, as it is looked for."""
    match probe.kind:
        case ProbeKind.ROW:
            return _key(value, place)
        case ProbeKind.ANSWER:
            return parse_reading(probe.where).arguments(value, place)
        case ProbeKind.ETAG:
            try:
                return parse_root(probe.where).page(_text(value, place))
            except (OperandOutsideError, OperandUnreadableError) as error:
                message = f"what `{place}` names can't be asked about: {error.message}"
                raise type(error)(message, where=place) from error
        case _:
            return _text(value, place)


def _key(value: JsonValue, place: str) -> str:
    """A row's key (rule 5)."""
    key = str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value, place)
    if "\x00" in key or len(key) > _LONGEST:
        raise OperandUnreadableError(f"argument `{place}` is no key that a row has", where=place)
    return key


def _pointer(argument: str) -> str:
    return f"/{argument}"  # a declared name holds neither `~` nor `/`
