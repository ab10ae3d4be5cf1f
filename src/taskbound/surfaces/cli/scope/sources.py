"""Finds the scope and the pinned tools that a command names, in files or by the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError, UnavailableError
from taskbound.core.scope import parse_scope
from taskbound.core.scope.path import Place
from taskbound.core.scope.review import Known
from taskbound.core.tool import parse_definition
from taskbound.surfaces.cli.naming import whole_task
from taskbound.surfaces.cli.reading import BadInputError, read_file
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.wire.document import read_document
from taskbound.wire.identity import AgentDetail, ShowAgent
from taskbound.wire.task import ListTemplates, ShowTask, TaskDetail, TemplateRows
from taskbound.wire.tool import ListTools, ToolRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.scope import Scope
    from taskbound.core.tool import ToolDefinition
    from taskbound.surfaces.cli.session import Session
    from taskbound.wire.document import Document


_LARGEST: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Tools by full name: server definitions and declarations."""

    definitions: Mapping[str, ToolDefinition]
    declared: Mapping[str, Known]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A scope and the name that it was given by."""

    name: str
    scope: Scope
    document: Document | None
    """The file, when it was one."""

    def spot(self, grant: str, path: str) -> str:
        if self.document is None:
            return ""
        place = _place_of(self.scope, grant)
        if path:
            place = place.member("arguments").member(path)
        line, column = self.document.source.spot(self.document.find(place.text))
        return f"{self.document.source.name}:{line}:{column}"


def find_scope(session: Session, told: str) -> Given:
    kind, colon, name = told.partition(":")
    raw: bytes | None = None
    if colon and kind == "template":
        rows = session.ask(ListTemplates(), TemplateRows).rows
        found = next((one for one in rows if one.name == name), None)
        if found is None:
            raise BadInputError(
                f"there is no template `{shown(name)}`", remedy="see `taskbound template list`"
            )
        raw = bytes(found.scope)
    elif colon and kind == "task":
        raw = bytes(session.ask(ShowTask(task=whole_task(session, name)), TaskDetail).scope)
    elif colon and kind == "agent":
        raw = bytes(session.ask(ShowAgent(name=name), AgentDetail).ceiling)
    if raw is not None:
        return Given(name=told, scope=parse_scope(raw), document=None)
    document = read_document(read_file(told), told)
    with document.pointing():
        scope = parse_scope(document.value)
    return Given(name=told, scope=scope, document=document)


def find_tools(session: Session, file: str, *, offline: bool) -> Tools | None:
    """Return the tools by full name, or None if unavailable."""
    if file:
        return _tools_of(file)
    if offline:
        return None
    try:
        rows = session.ask(ListTools(), ToolRows).rows
    except UnavailableError as error:
        session.screen.note(f"without the pinned tools: {shown(Words(error.message))}", "dim")
        return None
    return Tools(
        definitions={one.name: parse_definition(bytes(one.raw)) for one in rows},
        declared={one.name: Known(effect=one.effect, roles=one.roles) for one in rows},
    )


def _place_of(scope: Scope, grant: str) -> Place:
    for at, step in enumerate(scope.steps):
        for number, one in enumerate(step.grants):
            if one.id == grant:
                return Place().member("steps").item(at).member("grants").item(number)
    return Place().member("grants").item([one.id for one in scope.grants].index(grant))


def _tools_of(file: str) -> Tools:
    document = read_document(read_file(file, largest=_LARGEST), file)
    try:
        rows = msgspec.convert(document.value, _Tools).rows
        return Tools(
            definitions={one.name: parse_definition(canonical(one.raw)) for one in rows},
            declared={one.name: Known(effect=one.effect, roles=tuple(one.roles)) for one in rows},
        )
    except (msgspec.ValidationError, MalformedError) as error:
        raise BadInputError(
            f"`{shown(file)}` lists no tools: {shown(str(error))}",
            remedy="make it with `taskbound tool list --json`",
        ) from error


class _Tool(msgspec.Struct):
    name: str
    raw: dict[str, Any]
    effect: Literal["", "read", "write", "destructive"] = ""
    roles: list[str] = []


class _Tools(msgspec.Struct):
    rows: list[_Tool]
