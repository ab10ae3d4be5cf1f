"""What a person declares of a tool: which arguments name something that can change, and where that may be.

1. `ARGUMENT=file:FOLDER`: the argument is the path of a file beneath the folder, or a list of such.
2. `ARGUMENT=revision:REPOSITORY`: the argument is a ref of that git repository;
   `ARGUMENT=revision:OTHER:FOLDER`: of the repository whose path argument OTHER holds, beneath the folder.
3. A folder is an absolute path in normal form. There is one way to write a probe; what is declared of one
   argument is declared once.
4. A declared argument is there, or the pinned schema's default stands for it, and is a text or a list of
   texts; so many things are looked at for one call at most. What else it holds can't be looked at.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from taskbound.core.approval.errors import BadProbeError, OperandUnreadableError
from taskbound.core.approval.operand import ProbeKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action import JsonValue

__all__ = ["MOST_LOOKS", "Look", "Probe", "looks_of", "parse_probe", "parse_probes"]

MOST_LOOKS: Final = 16
"""Things that are looked at for one call."""
_LONGEST: Final = 1_000
_ARGUMENT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How what one argument names is looked at."""

    argument: str
    kind: ProbeKind
    folder: str
    """Beneath which it is; of a revision with no `repository`, the repository."""
    repository: str = ""
    """The argument that holds the repository's path."""

    @property
    def text(self) -> str:
        """As a person writes it (rule 3)."""
        other = f"{self.repository}:" if self.repository else ""
        return f"{self.argument}={self.kind.value}:{other}{self.folder}"


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


def parse_probe(text: str) -> Probe:
    """The probe that a person wrote.

    Raises:
        BadProbeError: It is none (rules 1 to 3).
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
    elif kind not in {ProbeKind.FILE.value, ProbeKind.REVISION.value}:
        raise BadProbeError(f"`{argument}` is looked at in no way that there is")
    if not _is_folder(where):
        raise BadProbeError(f"`{argument}`: a folder is an absolute path without `.`, `..` or `//`")
    return Probe(argument=argument, kind=ProbeKind(kind), folder=where, repository=repository)


def parse_probes(texts: Iterable[str]) -> tuple[Probe, ...]:
    """The probes of one tool, by argument in order.

    Raises:
        BadProbeError: One is none, there are too many, or two are about one argument.
    """
    found = sorted((parse_probe(one) for one in texts), key=lambda one: one.argument)
    if len({one.argument for one in found}) != len(found):
        raise BadProbeError("two probes are about one argument")  # 3
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
        OperandUnreadableError: It can't be said (rule 4).
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
                    value=_text(one, where),
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


def _pointer(argument: str) -> str:
    return f"/{argument}"  # a declared name holds neither `~` nor `/`


def _is_folder(path: str) -> bool:
    plain = posixpath.normpath(path) == path and path.startswith("/") and not path.startswith("//")
    return plain and path.isprintable()
