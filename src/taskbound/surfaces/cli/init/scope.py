"""Builds the scope that `init` writes as ceiling and template, from chosen tools and directories.

A tool with several paths gets a grant per directory, so that all paths of a call lie below the same one.
A tool file can make more arguments paths and settle doubts; it can't make a path-like argument free.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.scope import parse_scope
from taskbound.core.scope.path import path_of
from taskbound.core.scope.suggest import Place, Sort, places_of
from taskbound.core.tool import Effect, ToolDefinition
from taskbound.core.tool.file import Role, parse_roles
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope import Scope
    from taskbound.core.tool.file import ToolFile


_WEB: Final[tuple[JsonValue, ...]] = ({"prefix": "http://"}, {"prefix": "https://"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One tool that can be chosen."""

    name: str
    """`server__tool`."""
    effect: Effect
    description: str
    places: tuple[Place, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the argument places that must lie below a directory."""
        return self._of(Sort.PATH, Sort.EITHER)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the argument places that must be web addresses."""
        return self._of(Sort.WEB, Sort.EITHER)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return the argument places that may hold a path and can't be limited."""
        return self._of(Sort.DOUBT)

    @property
    def free(self) -> tuple[str, ...]:
        return self._of(Sort.FREE)

    def ticked(self, *, free: bool) -> bool:
        return self.effect is not Effect.DESTRUCTIVE and (free or not self.doubts)

    def _of(self, *sorts: Sort) -> tuple[str, ...]:
        return tuple(one.text for one in self.places if one.sort in sorts)


def offers_of(
    server: str, definitions: Iterable[ToolDefinition], file: ToolFile | None = None
) -> tuple[Offer, ...]:
    said = {one.name: parse_roles(one.roles or ()) for one in (file.tools if file is not None else ())}
    return tuple(_offer(server, one, said.get(one.name, {})) for one in definitions)


def parse_root(text: str) -> str:
    if not text:
        raise BadInputError("an empty text names no directory")
    path = os.path.normpath(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111 -- by text, as `below` compares
    if path.startswith("//"):
        path = path[1:]  # POSIX lets a system read two slashes in its own way, and normpath keeps them
    if not os.path.isdir(path):  # noqa: PTH112 -- the same
        raise BadInputError(f"`{shown(text)}` is no directory", remedy="name one that is there")
    return path


def build_scope(offers: Sequence[Offer], roots: Sequence[str]) -> Scope:
    if not offers:
        raise BadInputError("no tool is ticked, so there is nothing to allow")
    below: list[JsonValue] = [{"below": root} for root in outermost(roots)]
    grants: list[JsonValue] = []
    for one in sorted(offers, key=lambda it: it.name):
        limited = [place for place in one.places if place.limited]
        if not limited or not below:
            grants.append({"tool": one.name, "others": "any"})
        elif len(one.paths) <= 1:
            grants.append(_grant(one.name, limited, below))
        else:
            grants.extend(_grant(one.name, limited, [where]) for where in below)
    return parse_scope({"grants": grants})


def outermost(roots: Iterable[str]) -> tuple[str, ...]:
    found: list[str] = []
    for root in sorted(set(roots), key=lambda it: (it.count("/"), it)):  # what is above comes first
        if not any(one == "/" or root.startswith(f"{one}/") for one in found):
            found.append(root)
    return tuple(sorted(found))


def _grant(tool: str, places: Iterable[Place], below: Sequence[JsonValue]) -> JsonValue:
    arguments: dict[str, JsonValue] = {}
    optional: set[str] = set()
    for one in places:
        options: list[JsonValue] = []
        if one.sort is not Sort.WEB:
            options += below
        if one.sort is not Sort.PATH:
            options += _WEB
        shapes = [_each(_any_of(options), lists) for lists in one.lists]
        arguments[one.text] = _any_of(shapes)
        optional.update(path_of(steps).text for steps in one.optional)
    return {"tool": tool, "arguments": arguments, "optional": [*sorted(optional)], "others": "any"}


def _any_of(options: Sequence[JsonValue]) -> JsonValue:
    return options[0] if len(options) == 1 else {"any_of": [*options]}


def _each(what: JsonValue, lists: int) -> JsonValue:
    for _ in range(lists):
        what = {"each": what}
    return what


def _offer(server: str, definition: ToolDefinition, roles: Mapping[str, Role]) -> Offer:
    description = definition.value.get("description")
    told = description if isinstance(description, str) else ""
    return Offer(
        name=f"{server}__{definition.name}",
        effect=definition.effect,
        description=told,
        places=places_of(
            definition.input_schema,
            about=f"{definition.name} {told}",
            paths=frozenset(name for name, role in roles.items() if role is Role.PATH),
            others=frozenset(name for name, role in roles.items() if role is not Role.PATH),
        ),
    )
