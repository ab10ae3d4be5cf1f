"""From ticked tools and directories to a scope: what `init` writes as ceiling and template.

1. The path arguments of each ticked tool lie below one of the directories, its other arguments are free, and
   said to be. A tool with several paths gets a grant for each directory, so that all paths of one call lie
   below the same one. A directory below another adds nothing, and is left out.
2. Paths in lists can't be limited yet; they are named, so that a person can leave the tool out.
3. Tools that destroy are not ticked unless a person ticks them.
4. A tool file makes more arguments paths, and none that looks like one to be none.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.scope import parse_scope
from taskbound.core.tool import Effect, ToolDefinition
from taskbound.core.tool.file import Role, parse_roles
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope import Scope
    from taskbound.core.tool.file import ToolFile

__all__ = ["Offer", "build_scope", "offers_of", "outermost", "parse_root"]

_PATH_NAME: Final = re.compile(
    r"(^|[_-])(paths?|dir|directory|directories|folders?|files?|filenames?|root|cwd)$|[a-z](Path|Dir|File|Root)s?$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One tool that can be ticked."""

    name: str
    """`server__tool`."""
    effect: Effect
    description: str
    paths: tuple[str, ...]
    """Arguments that take one path."""
    lists: tuple[str, ...]
    """Arguments that take a list of paths (rule 2)."""
    required: frozenset[str]

    @property
    def ticked(self) -> bool:
        """Whether it is ticked before anyone was asked (rule 3)."""
        return self.effect is not Effect.DESTRUCTIVE


def offers_of(
    server: str, definitions: Iterable[ToolDefinition], file: ToolFile | None = None
) -> tuple[Offer, ...]:
    """What a server offers, with what looks like a path among its arguments, or is one by a file (rule 4)."""
    said = {one.name: parse_roles(one.roles or ()) for one in (file.tools if file is not None else ())}
    return tuple(_offer(server, one, said.get(one.name, {})) for one in definitions)


def parse_root(text: str) -> str:
    """The directory, absolute and in its normal form.

    Raises:
        BadInputError: There is no such directory.
    """
    if not text:
        raise BadInputError("an empty text names no directory")
    path = os.path.normpath(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111 -- by text, as `below` compares
    if not os.path.isdir(path):  # noqa: PTH112 -- the same
        raise BadInputError(f"`{shown(text)}` is no directory", remedy="name one that is there")
    return path


def build_scope(offers: Sequence[Offer], roots: Sequence[str]) -> Scope:
    """The scope that lets the ticked tools be called (rule 1).

    Args:
        offers: The ticked tools, at least one.
        roots: The directories, in their normal form; none leaves paths free.

    Raises:
        BadInputError: Nothing is ticked.
    """
    if not offers:
        raise BadInputError("no tool is ticked, so there is nothing to allow")
    below: list[JsonValue] = [{"below": root} for root in outermost(roots)]
    grants: list[JsonValue] = []
    for one in sorted(offers, key=lambda it: it.name):
        if not one.paths or not below:
            grants.append({"tool": one.name, "others": "any"})
        elif len(one.paths) == 1 and len(below) > 1:
            grants.append(_grant(one, {"any_of": below}))
        else:
            grants.extend(_grant(one, where) for where in below)
    return parse_scope({"grants": grants})


def outermost(roots: Iterable[str]) -> tuple[str, ...]:
    """The directories that lie below no other of them, sorted."""
    found: list[str] = []
    for root in sorted(set(roots), key=lambda it: (it.count("/"), it)):  # what is above comes first
        if not any(one == "/" or root.startswith(f"{one}/") for one in found):
            found.append(root)
    return tuple(sorted(found))


def _grant(offer: Offer, where: JsonValue) -> JsonValue:
    """What lets a tool be called, each of its paths being as the constraint says."""
    optional: list[JsonValue] = [name for name in offer.paths if name not in offer.required]
    return {
        "tool": offer.name,
        "arguments": dict.fromkeys(offer.paths, where),
        "optional": optional,
        "others": "any",
    }


def _offer(server: str, definition: ToolDefinition, roles: Mapping[str, Role]) -> Offer:
    schema = definition.input_schema
    properties = schema.get("properties")
    required = schema.get("required")
    paths: list[str] = []
    lists: list[str] = []
    for name, body in properties.items() if isinstance(properties, dict) else ():
        kinds = _kinds(body)
        looks = _PATH_NAME.search(name) is not None and name.isascii()
        if not looks and roles.get(name) is not Role.PATH:
            continue
        if "array" in kinds:
            lists.append(name)
        elif "string" in kinds or not kinds:
            paths.append(name)
    description = definition.value.get("description")
    return Offer(
        name=f"{server}__{definition.name}",
        effect=definition.effect,
        description=description if isinstance(description, str) else "",
        paths=tuple(sorted(paths)),
        lists=tuple(sorted(lists)),
        required=frozenset(one for one in required if isinstance(one, str))
        if isinstance(required, list)
        else frozenset(),
    )


def _kinds(schema: JsonValue) -> frozenset[str]:
    """The JSON types that a property's schema names, in itself or in its alternatives."""
    if not isinstance(schema, dict):
        return frozenset()
    found: set[str] = set()
    kind = schema.get("type")
    found.update(one for one in (kind if isinstance(kind, list) else [kind]) if isinstance(one, str))
    for word in ("anyOf", "oneOf"):
        some = schema.get(word)
        for one in some if isinstance(some, list) else ():
            found |= _kinds(one)
    return frozenset(found)
