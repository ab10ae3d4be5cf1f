"""A scope held against the definitions of the tools that are pinned.

1. A tool or argument that nobody knows is a mistake, and the nearest name is said. Where a schema says more
   than ``properties`` (``$ref``, ``anyOf`` …), its arguments aren't known, and nothing is said.
2. An argument that the tool requires and the grant neither mentions nor leaves open keeps every valid call
   from being covered.
3. A tool that may destroy something is named where the grant leaves something to the agent or the server.
4. Where a person declared what arguments are for, those that are worth a limit are named where the grant
   leaves them free (`core.tool.file.role`).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.grant import Others
from taskbound.core.scope.path import Items
from taskbound.core.scope.review.remark import Remark, Weight, near, some
from taskbound.core.scope.show import bare
from taskbound.core.scope.tree import schema_of_items, schema_of_member
from taskbound.core.tool import Effect, effect_of
from taskbound.core.tool.file.role import parse_roles, worth_limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.grant import Grant, Scope
    from taskbound.core.scope.path import ArgumentPath
    from taskbound.core.tool import ToolDefinition

    Schema = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a person declared of a tool."""

    effect: str = ""
    """Empty where nothing was declared."""
    roles: tuple[str, ...] = ()


_NOTHING: Final = Known()
_UNKNOWABLE: Final = frozenset(
    {"$dynamicRef", "$ref", "allOf", "anyOf", "dependentSchemas", "if", "not", "oneOf", "patternProperties"}
)


def properties_of(schema: Schema) -> Schema | None:
    """The members that a schema knows; ``None`` where it can't be said (rule 1)."""
    known = schema.get("properties")
    if _UNKNOWABLE & schema.keys() or isinstance(schema.get("additionalProperties"), dict):
        return None
    return known if isinstance(known, dict) else None


def against_pinned(
    scope: Scope, tools: Mapping[str, ToolDefinition], declared: Mapping[str, Known] = MappingProxyType({})
) -> tuple[Remark, ...]:
    """What doesn't fit the pinned tools, by the module's rules.

    Args:
        scope: The scope.
        tools: The pinned definitions by the tool's whole name, ``server__tool``.
        declared: What a person declared of those tools.
    """
    return tuple(
        remark
        for grant in scope.grants
        for remark in _of_grant(grant, tools, declared.get(grant.tool, _NOTHING))
    )


def _of_grant(grant: Grant, tools: Mapping[str, ToolDefinition], declared: Known) -> Iterator[Remark]:
    tool = tools.get(grant.tool)
    if tool is None:
        yield _mistake(
            "unknown-tool", grant, "", f"`{grant.tool}` is no pinned tool{near(grant.tool, tools)}"
        )
        return
    schema = tool.input_schema
    mentioned = {*(path for path, _ in grant.arguments), *grant.optional}
    for path in sorted(mentioned):
        yield from _unknown(grant, path, schema)
    if grant.others is Others.DEFAULT_ONLY:
        yield from _uncallable(grant, schema)
    if effect_of(tool, declared.effect) is Effect.DESTRUCTIVE:
        yield from _destructive(grant)
    yield from _unlimited(grant, schema, declared)


def _unknown(grant: Grant, path: ArgumentPath, schema: Schema) -> Iterator[Remark]:
    here: Schema | None = schema
    for step in path.steps:
        if here is None:
            return
        if isinstance(step, Items):
            here = schema_of_items(here)
            continue
        known = properties_of(here)
        if known is None:
            return
        if step not in known:
            text = f"is not known to the pinned `{grant.tool}`: it has no `{bare(step)}`{near(step, known)}"
            yield _mistake("unknown-argument", grant, str(path), text)
            return
        here = schema_of_member(here, step)


def _uncallable(grant: Grant, schema: Schema) -> Iterator[Remark]:
    """Rule 2."""
    required = schema.get("required")
    known = properties_of(schema) or {}
    missing = [
        name
        for name in (required if isinstance(required, list) else ())
        if isinstance(name, str) and name not in grant.named and not _has_default(known.get(name))
    ]
    if missing:
        text = f"covers no valid call: `{grant.tool}` must be given {some(missing)}, which isn't mentioned"
        yield _mistake("never-callable", grant, "", text)


def _has_default(schema: JsonValue) -> bool:
    return isinstance(schema, dict) and "default" in schema


def _destructive(grant: Grant) -> Iterator[Remark]:
    """Rule 3."""
    what = f"`{grant.tool}` may destroy something, or its server doesn't say"
    if grant.optional:
        names = some(map(str, grant.optional))
        text = f"{what}; what it does when {names} is left out is up to the server"
        yield Remark(code="destructive-optional", weight=Weight.BREADTH, grant=grant.id, path="", text=text)
    elif grant.others is Others.ANY or grant.uses is None:
        yield Remark(code="destructive", weight=Weight.BREADTH, grant=grant.id, path="", text=what)


def _unlimited(grant: Grant, schema: Schema, declared: Known) -> Iterator[Remark]:
    """Rule 4."""
    if grant.others is not Others.ANY:
        return
    limited = {path.argument for path, _ in grant.arguments}
    known = properties_of(schema) or {}
    for name, why in worth_limits(sorted(known), parse_roles(declared.roles)).items():
        if name not in limited:
            text = f"`{bare(name)}` of `{grant.tool}` is left open, and is worth a limit: {why}"
            yield Remark(code="worth-a-limit", weight=Weight.BREADTH, grant=grant.id, path="", text=text)


def _mistake(code: str, grant: Grant, path: str, text: str) -> Remark:
    return Remark(code=code, weight=Weight.MISTAKE, grant=grant.id, path=path, text=text)
