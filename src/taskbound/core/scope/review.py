"""Remarks on a scope: breadth, and conflicts with the pinned definitions of its tools.

Of breadth:

1. A remark is made where the scope language has a narrower word.
2. ``all_of`` leaves open what every part does, ``any_of`` what some part does.
3. An amount with a total needs no range.
4. Overlapping grants add up their limits; the number of compared pairs is bounded, and the remark says so.

Of pinned definitions:

1. An unknown tool or argument is a mistake, with the nearest name as a hint. Arguments are unknown where the
   schema uses more than ``properties`` (``$ref``, ``anyOf`` …), and nothing is reported.
2. A required argument that the grant neither mentions nor opens makes every valid call fail.
3. A destructive tool is reported if the grant leaves something open.
4. Arguments with a declared role that is worth a limit are reported if they are free (`core.tool.file.role`).
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from enum import Enum
from functools import reduce
from itertools import combinations
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.algebra import intersect
from taskbound.core.scope.constraints.below import Below, Prefix
from taskbound.core.scope.constraints.choice import AnyValue, NotOneOf
from taskbound.core.scope.constraints.compound import AllOf, AnyOf
from taskbound.core.scope.constraints.date_time import DateTime
from taskbound.core.scope.constraints.glob import Glob
from taskbound.core.scope.constraints.host import Cidr, Host
from taskbound.core.scope.constraints.range import Contains, Each, Range
from taskbound.core.scope.constraints.url import Url
from taskbound.core.scope.grant import Others, Scope, tools_of
from taskbound.core.scope.path import Items, schema_of_items, schema_of_member
from taskbound.core.scope.show import bare
from taskbound.core.tool import Effect, effect_of
from taskbound.core.tool.file.parse import parse_roles, worth_limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint
    from taskbound.core.scope.constraints.host import Hosts
    from taskbound.core.scope.grant import Grant
    from taskbound.core.scope.path import ArgumentPath
    from taskbound.core.tool import ToolDefinition

    Schema = Mapping[str, JsonValue]


_TOLD: Final = 8
_COMPARED: Final = 1_000
_LONGEST: Final = 128


class Weight(Enum):
    """The severity of a remark."""

    BREADTH = "breadth"
    """It is as it says, and wide: is that meant?"""
    MISTAKE = "mistake"
    """It can't be what was meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A remark on one grant."""

    code: str
    """A stable word, such as ``others-any``."""
    weight: Weight
    grant: str
    """Its id, such as ``g0``."""
    path: str
    """The path in its arguments, as a scope writes it; empty for the grant as a whole."""
    text: str
    """What there is to know, in plain words."""

    @property
    def sentence(self) -> str:
        return f"{self.grant}: `{bare(self.path)}` {self.text}" if self.path else f"{self.grant}: {self.text}"


def near(name: str, known: Iterable[str]) -> str:
    """Returns a hint with the nearest known name; empty if none is near."""
    if len(name) > _LONGEST:
        return ""
    short = [one for one in known if len(one) <= _LONGEST][:_COMPARED]
    found = get_close_matches(name, short, n=1, cutoff=0.6)
    return f"; is `{bare(found[0])}` meant?" if found else ""


def some(names: Iterable[str]) -> str:
    every = sorted(names)
    told = ", ".join(f"`{bare(name)}`" for name in every[:_TOLD])
    return f"{told} and {len(every) - _TOLD} more" if len(every) > _TOLD else told


_COST: Final = 50_000
_PATH_NAME: Final = re.compile(
    r"(^|[_-])(paths?|dir|directory|directories|folders?|files?|filenames?|root|cwd)$|[a-z](Path|Dir|File|Root)s?$"
)
_UNBOUNDED: Final = frozenset({"range-no-max", "range-no-min"})
_ALL: Final = "/0"


def is_path_name(name: str) -> bool:
    return _PATH_NAME.search(name) is not None


def breadth(scope: Scope) -> tuple[Remark, ...]:
    found = [remark for grant in scope.grants for remark in _of_grant(grant)]
    return (*found, *_overlaps(scope))


def _of_grant(grant: Grant) -> Iterator[Remark]:
    if grant.others is Others.ANY:
        text = "any other argument may be anything (`others: any`)"
        yield _remark("others-any", grant, "", text)
    if grant.uses is None and not grant.rates and not grant.totals:
        yield _remark(
            "uses-unlimited", grant, "", "may be used any number of times (no `uses`, `rate` or `total`)"
        )
    counted = {total.path for total in grant.totals}
    for path, rule in grant.arguments:
        for code, text in _open(rule, path.hint).items():
            if path not in counted or code not in _UNBOUNDED:  # rule 3
                yield _remark(code, grant, str(path), text)


def _open(rule: Constraint, name: str) -> Mapping[str, str]:
    match rule:
        case AllOf():  # rule 2
            parts = [_open(one, name) for one in rule.inner]
            found = reduce(lambda left, right: {code: left[code] for code in left if code in right}, parts)
        case AnyOf():
            found = {code: text for one in rule.inner for code, text in _open(one, name).items()}
        case Each():
            found = _open(rule.item, name)
        case Prefix():
            found = _of_prefix(rule.prefix, name)
        case Range() | DateTime():
            found = _unbounded(rule)
        case Host() | Url():
            found = _of_hosts(rule.hosts)
        case _:
            found = _simple(rule)
    return found


def _simple(rule: Constraint) -> Mapping[str, str]:
    match rule:
        case Contains():
            found = {"contains-others": "may hold anything beside the one item that it must contain"}
        case AnyValue():
            found = {"any-value": "may be anything"}
        case NotOneOf():
            found = {"all-but": "may be anything but what is named; naming what is allowed is narrower"}
        case Below(directory="/"):
            found = {"below-root": "may be any absolute path"}
        case Glob() if not rule.pattern.strip("*"):
            found = {"glob-all": "may be almost any text"}
        case Cidr() if any(text.endswith(_ALL) for text in rule.networks.texts):
            found = {"every-address": "may be any address"}
        case _:
            found = {}
    return found


def _unbounded(rule: Range | DateTime) -> Mapping[str, str]:
    found: dict[str, str] = {}
    if isinstance(rule, DateTime):
        return {"time-no-end": "has no last moment"} if rule.max is None else found
    if rule.max is None:
        found["range-no-max"] = "has no largest number"
    if rule.min is None:
        found["range-no-min"] = "has no smallest number: negative ones pass"
    return found


def _of_prefix(prefix: str, name: str) -> Mapping[str, str]:
    if "://" in prefix:
        return {"prefix-url": "is compared with a prefix, which says little of a URL; use `url`"}
    if "/" in prefix or is_path_name(name):
        return {"prefix-path": "looks like a path, and `/dir/../etc` begins with `/dir` too; use `below`"}
    return {}


def _of_hosts(hosts: Hosts) -> Mapping[str, str]:
    found: dict[str, str] = {}
    if any(text.endswith(_ALL) for text in hosts.networks.texts):
        found["every-address"] = "may be any address"
    if any("." not in suffix.removeprefix(".") for suffix in hosts.suffixes):
        found["every-host"] = "may be any host of a top-level domain"
    return found


def _overlaps(scope: Scope) -> Iterator[Remark]:
    found: dict[str, list[str]] = {}
    seen: set[tuple[str, str]] = set()
    cost = 0
    for one, two in _pairs(scope):
        if (one.id, two.id) in seen or not (_is_limited(one) or _is_limited(two)):
            continue
        seen.add((one.id, two.id))
        cost += 1 + len(one.arguments) + len(two.arguments)
        if cost > _COST:
            text = "from here on, grants are too many to see whether they overlap, and their limits add up"
            yield _remark("overlap-unknown", two, "", text)
            break
        if intersect(Scope(grants=(one,)), Scope(grants=(two,))).scope is not None:
            found.setdefault(two.id, []).append(one.id)
    for two in scope.grants:
        if two.id in found:
            text = f"covers calls that {some(found[two.id])} covers too: their limits add up"
            yield _remark("overlap", two, "", text)


def _is_limited(grant: Grant) -> bool:
    return grant.uses is not None or bool(grant.totals or grant.rates)


def _pairs(scope: Scope) -> Iterator[tuple[Grant, Grant]]:
    for in_force in scope.in_force:
        for grants in in_force.by_tool.values():
            yield from combinations(grants, 2)


def _remark(code: str, grant: Grant, path: str, text: str) -> Remark:
    return Remark(code=code, weight=Weight.BREADTH, grant=grant.id, path=path, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A person's declarations about a tool."""

    effect: str = ""
    """Empty where nothing was declared."""
    roles: tuple[str, ...] = ()


_NOTHING: Final = Known()
_UNKNOWABLE: Final = frozenset(
    {"$dynamicRef", "$ref", "allOf", "anyOf", "dependentSchemas", "if", "not", "oneOf", "patternProperties"}
)


def properties_of(schema: Schema) -> Schema | None:
    """Returns the schema's properties; None if they are not known (rule 1)."""
    known = schema.get("properties")
    if _UNKNOWABLE & schema.keys() or isinstance(schema.get("additionalProperties"), dict):
        return None
    return known if isinstance(known, dict) else None


def against_pinned(
    scope: Scope, tools: Mapping[str, ToolDefinition], declared: Mapping[str, Known] = MappingProxyType({})
) -> tuple[Remark, ...]:
    return tuple(
        remark
        for grant in scope.grants
        for remark in _pinned_of_grant(grant, tools, declared.get(grant.tool, _NOTHING))
    )


def _pinned_of_grant(grant: Grant, tools: Mapping[str, ToolDefinition], declared: Known) -> Iterator[Remark]:
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
    what = f"`{grant.tool}` may destroy something, or its server doesn't say"
    if grant.optional:
        names = some(map(str, grant.optional))
        text = f"{what}; what it does when {names} is left out is up to the server"
        yield Remark(code="destructive-optional", weight=Weight.BREADTH, grant=grant.id, path="", text=text)
    elif grant.others is Others.ANY or grant.uses is None:
        yield Remark(code="destructive", weight=Weight.BREADTH, grant=grant.id, path="", text=what)


def _unlimited(grant: Grant, schema: Schema, declared: Known) -> Iterator[Remark]:
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


def never(scope: Scope, tools: Mapping[str, ToolDefinition] | None) -> tuple[str, ...]:
    """Returns what can never be done, one line each; `tools` is None if the definitions are unknown."""
    return tuple(_lines(scope, tools))


def _lines(scope: Scope, tools: Mapping[str, ToolDefinition] | None) -> Iterator[str]:
    named = tools_of(scope)
    if tools is None:
        yield f"call any tool but {some(named)}"
    else:
        others = tools.keys() - named
        yield (
            f"call another tool; of those that are pinned: {some(others)}" if others else "call another tool"
        )
    for grant in scope.grants:
        yield from _left_out(grant, None if tools is None else tools.get(grant.tool))
    for at, step in enumerate(scope.steps):
        later = {one.tool for one in step.grants} - {
            grant.tool for earlier in scope.steps[:at] for grant in earlier.grants
        }
        if at and later:
            yield f"before step `{step.name}`, call {some(later)}"
        if at and not step.keep:
            yield f"from step `{step.name}` on, use what only the steps before it grant"
    if all(grant.uses is not None for grant in scope.grants):
        uses = sum(grant.uses or 0 for grant in scope.grants)
        yield f"act more than {uses} times in all" if uses > 1 else "act more than once in all"


def _left_out(grant: Grant, tool: ToolDefinition | None) -> Iterator[str]:
    if grant.others is Others.ANY:
        return
    where = f"by {grant.id}, give `{grant.tool}`"
    known = None if tool is None else properties_of(tool.input_schema)
    if known is None:
        yield f"{where} any argument" + (f" but {some(grant.named)}" if grant.named else "")
    elif known.keys() - grant.named:
        yield f"{where} anything but the default for {some(known.keys() - grant.named)}"
