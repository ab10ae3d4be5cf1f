"""A scope and its grants: compiled values, the parser, and a description in words.

A scope is identified by the digest of its canonical form. It is immutable and expensive to compile, so cache
it by digest. Rules of the parser:

1. Bytes are one strict JSON document; a value is copied through its canonical bytes, so that 10.0 becomes 10.
2. An unknown member, constraint or tool name of another form is refused.
3. A scope has 1 to 1,000 grants. Two that cover the same calls are refused, because their limits would add
   up.
4. ``total`` names arguments that ``arguments`` constrains, ``optional`` also objects on their paths. An
   argument with a total is not optional, since an absent amount cannot be counted.
5. A constraint that permits nothing (an empty list, min above max) is refused.
6. A scope has grants, or 2 to 16 steps with grants. Grant ids continue across steps; rule 3 holds for grants
   that are in force together.
"""

from __future__ import annotations

import re
from dataclasses import field, replace
from enum import Enum
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import MAX_INTEGER, canonical
from taskbound.core.action.parse import parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.scope.constraints.constraint import Kind, read_constraint
from taskbound.core.scope.constraints.registry import CONSTRAINTS
from taskbound.core.scope.limits import Charge, Payer, parse_rates, parse_totals, write_rates, write_totals
from taskbound.core.scope.path import Items, Place, compile_tree, label, parse_argument_path
from taskbound.core.scope.show import ScopeSyntaxError, kind_of, quote
from taskbound.core.scope.values import write_amount
from taskbound.core.tool.name import parse_tool_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint, Registry
    from taskbound.core.scope.limits import Rate, Total
    from taskbound.core.scope.path import ArgumentPath, Node
    from taskbound.core.scope.path import Step as PathStep


_KIND: Final = "taskbound-scope"
_VERSION: Final = 1


class Others(Enum):
    """The rule for arguments that the grant does not mention."""

    DEFAULT_ONLY = "default-only"
    """Absent, or the default of the pinned schema."""
    ANY = "any"
    """Whatever the agent likes: breadth, and shown as such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Permission to call one tool, within constraints and limits."""

    id: str
    """``g0``, ``g1`` …: its place in the scope."""
    tool: str
    arguments: tuple[tuple[ArgumentPath, Constraint], ...]
    """In the order of the paths."""
    optional: frozenset[ArgumentPath]
    others: Others
    uses: int | None
    totals: tuple[Total, ...]
    """In the order of paths and currencies."""
    rates: tuple[Rate, ...] = ()
    """From the shortest window to the longest."""
    tree: Node = field(init=False, repr=False, compare=False)
    """The paths as a tree, from the arguments inward."""
    plan: tuple[tuple[str, Constraint, bool], ...] = field(init=False, repr=False, compare=False)
    """Each argument that is constrained as a whole only, its constraint, and whether it must be present."""
    deep: bool = field(init=False, repr=False, compare=False)
    """Whether a path goes into an argument, so that the tree must be walked."""
    named: frozenset[str] = field(init=False, repr=False, compare=False)
    """The arguments that the grant mentions."""
    flat: Payer = field(init=False, repr=False, compare=False)
    """What the grant pays whatever the arguments are."""

    def __post_init__(self) -> None:
        tree = compile_tree(self.arguments, self.optional, closed=self.others is Others.DEFAULT_ONLY)
        nodes = tree.members.items()
        plan = tuple(
            (name, node.rule, node.required) for name, node in nodes if node.is_leaf and node.rule is not None
        )
        flat = (Charge(limit=self.uses_key, amount=1),) if self.uses is not None else ()
        object.__setattr__(self, "tree", tree)
        object.__setattr__(self, "plan", plan)
        object.__setattr__(self, "deep", not all(node.is_leaf for _, node in nodes))
        object.__setattr__(self, "named", frozenset(tree.members))
        object.__setattr__(self, "flat", Payer(grant=self.id, charges=flat, rates=self.rates))

    @property
    def uses_key(self) -> str:
        return f"{self.id}/uses"

    def coverage(self) -> dict[str, JsonValue]:
        form: dict[str, JsonValue] = {"tool": self.tool}
        if self.arguments:
            form["arguments"] = {str(path): {rule.tag: rule.value()} for path, rule in self.arguments}
        if self.optional:
            form["optional"] = [str(path) for path in sorted(self.optional)]
        if self.others is not Others.DEFAULT_ONLY:
            form["others"] = self.others.value
        return form

    def value(self) -> dict[str, JsonValue]:
        """Returns the canonical form: without defaults, unordered lists sorted."""
        form = self.coverage()
        if self.uses is not None:
            form["uses"] = self.uses
        if self.totals:
            form["total"] = write_totals(self.totals)
        if self.rates:
            form["rate"] = write_rates(self.rates)
        return form


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A part of the task with its own grants."""

    name: str
    keep: bool
    """Whether what was in force in the step before still is."""
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveGrants:
    """The grants in force in one step, in the order in which they pay."""

    grants: tuple[Grant, ...]
    by_tool: Mapping[str, tuple[Grant, ...]]

    @classmethod
    def of(cls, grants: tuple[Grant, ...]) -> ActiveGrants:
        named: dict[str, list[Grant]] = {}
        for grant in grants:
            named.setdefault(grant.tool, []).append(grant)
        index = MappingProxyType({tool: tuple(some) for tool, some in named.items()})
        return cls(grants=grants, by_tool=index)


_NOTHING: Final = ActiveGrants.of(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a task may do: grants in the order in which they pay."""

    grants: tuple[Grant, ...] = field(compare=False)
    """Those of all steps, one after another."""
    steps: tuple[Step, ...] = field(default=(), compare=False)
    """Empty: there is one step, with all grants."""
    canonical: bytes = field(init=False, repr=False, compare=False)
    """The canonical bytes of the scope as it is written."""
    digest: str = field(init=False)
    """SHA-256 over the canonical bytes of kind, version and scope, in hex; equality is equality of this."""
    by_tool: Mapping[str, tuple[Grant, ...]] = field(init=False, repr=False, compare=False)
    """The grants of all steps; what may be done in one is `at`."""
    in_force: tuple[ActiveGrants, ...] = field(init=False, repr=False, compare=False)
    """Step by step; at least one."""

    def __post_init__(self) -> None:
        form: JsonValue = {"grants": [grant.value() for grant in self.grants]}
        if self.steps:
            form = {"steps": [_step_value(step) for step in self.steps]}
        every = ActiveGrants.of(self.grants)
        in_force: list[ActiveGrants] = []
        for step in self.steps:
            kept = in_force[-1].grants if step.keep and in_force else ()
            in_force.append(ActiveGrants.of((*kept, *step.grants)))
        whole = canonical({"kind": _KIND, "version": _VERSION, "scope": form})
        object.__setattr__(self, "canonical", canonical(form))
        object.__setattr__(self, "digest", sha256(whole).hexdigest())
        object.__setattr__(self, "by_tool", every.by_tool)
        object.__setattr__(self, "in_force", tuple(in_force) or (every,))

    def at(self, step: int) -> ActiveGrants:
        """Returns the grants in force in a step, counted from 0; none for a step that does not exist."""
        return self.in_force[step] if 0 <= step < len(self.in_force) else _NOTHING

    def value(self) -> JsonValue:
        return parse_document(self.canonical)


def _step_value(step: Step) -> JsonValue:
    form: dict[str, JsonValue] = {"name": step.name, "grants": [grant.value() for grant in step.grants]}
    return {**form, "keep": True} if step.keep else form


def scope_ahead(scope: Scope, step: int) -> Scope:
    """Returns the scope from this step on, with it as the first step."""
    if not step:
        return scope
    first = replace(scope.steps[step], keep=False, grants=scope.at(step).grants)
    steps = (first, *scope.steps[step + 1 :])
    return Scope(grants=tuple(grant for one in steps for grant in one.grants), steps=steps)


def map_grants(scope: Scope, change: Callable[[Grant], Grant]) -> Scope:
    steps = tuple(replace(one, grants=tuple(map(change, one.grants))) for one in scope.steps)
    return Scope(grants=tuple(map(change, scope.grants)), steps=steps)


def tools_of(scope: Scope) -> frozenset[str]:
    """Returns the tools of all steps, which are the only ones listed to the agent."""
    return frozenset(scope.by_tool)


def counted_limits(scope: Scope) -> dict[str, int]:
    """Returns the total of each limit, or its uses per window, by key, for people."""
    limits: dict[str, int] = {}
    for grant in scope.grants:
        if grant.uses is not None:
            limits[grant.uses_key] = grant.uses
        limits.update((total.key, total.limit) for total in grant.totals)
        limits.update((rate.key, rate.uses) for rate in grant.rates)
    return limits


def initial_limits(scope: Scope) -> dict[str, int]:
    """Returns the initial value of each limit's row by key; a rate's window opened at 0."""
    opened = {rate.opened_key: 0 for grant in scope.grants for rate in grant.rates}
    return counted_limits(scope) | opened


def describe(scope: Scope) -> tuple[str, ...]:
    """Describes the scope, one line for each grant; broad grants are called so."""
    if not scope.steps:
        return tuple(describe_grant(grant) for grant in scope.grants)
    lines: list[str] = []
    for step in scope.steps:
        kept = ", and what the step before could" if step.keep else ""
        lines += [f"in step `{step.name}`{kept}: {describe_grant(grant)}" for grant in step.grants]
    return tuple(lines)


def describe_grant(grant: Grant) -> str:
    parts = [f"{grant.id}: may call `{grant.tool}`{_often(grant)}"]
    for path, constraint in grant.arguments:
        gap = ", or left out" if path in grant.optional and constraint.kinds else ""
        parts.append(f"with {_name(path)} {constraint.describe(path.hint)}{gap}")
    if grant.others is Others.ANY:
        parts.append("and any other argument, whatever it holds (broad)")
    else:
        parts.append("every other argument left out or at its default")
    parts += [
        f"{_name(total.path)} adding up to at most {write_amount(total.limit, total.exponent)}"
        + (f" {total.currency}" if total.currency else "")
        for total in grant.totals
    ]
    parts += [
        f"at most {rate.uses} in a window of {rate.seconds} seconds, so {2 * rate.uses} in any span as long"
        for rate in grant.rates
    ]
    return "; ".join(parts)


def _name(path: ArgumentPath) -> str:
    name = f"`{label(path.steps)}`"
    return f"each {name} (there may be none)" if Items.EACH in path.steps else name


def _often(grant: Grant) -> str:
    match grant.uses:
        case None:
            return " any number of times"
        case 1:
            return " once"
        case uses:
            return f" up to {uses} times"


MAX_GRANTS: Final = 1000
MAX_ARGUMENTS: Final = 256
MIN_STEPS: Final = 2
MAX_STEPS: Final = 16
_STEP_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")


def parse_scope(raw: bytes | JsonValue, *, registry: Registry = CONSTRAINTS) -> Scope:
    """Reads and compiles a scope; raises ScopeSyntaxError, whose ``where`` is the place."""
    try:
        value = parse_document(canonical(parse_document(raw) if isinstance(raw, bytes) else raw))  # rule 1
    except MalformedError as error:
        raise ScopeSyntaxError(f"the scope can't be read: {error.message}", where=error.where) from error
    top = Place()
    if isinstance(value, dict) and "steps" in value:
        members = top.read_object(value, required=("steps",), allowed=())
        return _parse_steps(members["steps"], top.member("steps"), registry)
    members = top.read_object(value, required=("grants",), allowed=())
    grants = _parse_grants(members["grants"], top.member("grants"), registry, first=0)
    _require_different([(grant, f"grants[{index}]") for index, grant in enumerate(grants)])
    return Scope(grants=grants)


def _parse_steps(value: JsonValue, place: Place, registry: Registry) -> Scope:
    items = place.read_list(value, most=MAX_STEPS)  # rule 6
    if len(items) < MIN_STEPS:
        raise place.fault("must have two steps or more; grants of one stand in `grants`")
    steps: list[Step] = []
    in_force: list[tuple[Grant, str]] = []
    count = 0
    for index, item in enumerate(items):
        here = place.item(index)
        members = here.read_object(item, required=("name", "grants"), allowed=("keep",))
        name = here.member("name").read_text(members["name"])
        if _STEP_NAME.fullmatch(name) is None:
            raise here.member("name").fault(
                "must be small letters, digits and hyphens, a letter first, at most 64"
            )
        if any(step.name == name for step in steps):
            raise here.member("name").fault("is the name of another step")
        keep = members.get("keep", False)
        if not isinstance(keep, bool):
            raise here.member("keep").fault(f"must be true or false, not {kind_of(keep)}")
        if keep and not steps:
            raise here.member("keep").fault("keeps nothing: no step is before the first")
        where = here.member("grants")
        grants = _parse_grants(members["grants"], where, registry, first=count)
        count += len(grants)
        named = [(grant, f"{where.text}[{at}]") for at, grant in enumerate(grants)]
        in_force = [*in_force, *named] if keep else named
        _require_different(in_force)
        steps.append(Step(name=name, keep=keep, grants=grants))
    if count > MAX_GRANTS:
        raise place.fault(f"have {count} grants; at most {MAX_GRANTS} are allowed")
    return Scope(grants=tuple(grant for step in steps for grant in step.grants), steps=tuple(steps))


def _parse_grants(value: JsonValue, place: Place, registry: Registry, *, first: int) -> tuple[Grant, ...]:
    items = place.read_list(value, most=MAX_GRANTS)  # rule 3
    if not items:
        raise place.fault("must not be empty: a task without a grant can do nothing")
    return tuple(
        _parse_grant(item, first + index, place.item(index), registry) for index, item in enumerate(items)
    )


def _require_different(in_force: list[tuple[Grant, str]]) -> None:
    seen: dict[bytes, str] = {}
    for grant, where in in_force:
        first = seen.setdefault(canonical(grant.coverage()), where)
        if first != where:
            raise Place(text=where).fault(
                f"covers the same calls as {first}, and their limits would add up; write one grant"
            )


def _parse_grant(value: JsonValue, index: int, place: Place, registry: Registry) -> Grant:
    members = place.read_object(
        value, required=("tool",), allowed=("arguments", "optional", "others", "uses", "total", "rate")
    )
    arguments = _parse_arguments(members.get("arguments", {}), place.member("arguments"), registry)
    optional = _parse_optional(members.get("optional", []), place.member("optional"), arguments)
    for path, rule in arguments.items():
        if not rule.kinds and path not in optional:  # rule 5
            raise (
                place.member("arguments")
                .member(str(path))
                .fault("permits nothing: it must be left out, and is not named in `optional`")
            )
    name = f"g{index}"
    return Grant(
        id=name,
        tool=_parse_tool(members["tool"], place.member("tool")),
        arguments=tuple(sorted(arguments.items(), key=lambda pair: pair[0])),
        optional=optional,
        others=_parse_others(members.get("others", Others.DEFAULT_ONLY.value), place.member("others")),
        uses=place.member("uses").read_integer(members["uses"], least=1, most=MAX_INTEGER)
        if "uses" in members
        else None,
        totals=parse_totals(members.get("total", {}), place.member("total"), name, arguments, optional),
        rates=parse_rates(members["rate"], place.member("rate"), name) if "rate" in members else (),
    )


def _parse_tool(value: JsonValue, place: Place) -> str:
    text = place.read_text(value)
    try:
        parse_tool_name(text)
    except MalformedError as error:
        raise place.fault(f"must name a tool: {error.message}") from error
    return text


def _parse_arguments(value: JsonValue, place: Place, registry: Registry) -> dict[ArgumentPath, Constraint]:
    members = place.read_object(value)
    if len(members) > MAX_ARGUMENTS:
        raise place.fault(f"constrains {len(members)} arguments; at most {MAX_ARGUMENTS} are allowed")
    found: dict[ArgumentPath, Constraint] = {}
    entered: dict[tuple[PathStep, ...], PathStep] = {}
    for name, body in sorted(members.items()):
        here = place.member(name)
        path = parse_argument_path(name, here)
        if path in found:
            raise here.fault(f"is the path `{quote(path.text)}` written a second way")
        for depth in range(1, len(path.steps)):  # rule 5
            step = entered.setdefault(path.steps[:depth], path.steps[depth])
            if (step is Items.EACH) != (path.steps[depth] is Items.EACH):
                raise here.fault("permits nothing: a path enters an object where another enters a list")
        found[path] = read_constraint(body, here, registry)
    for path, rule in found.items():  # rule 5
        onward = entered.get(path.steps)
        if onward is not None and (Kind.LIST if onward is Items.EACH else Kind.OBJECT) not in rule.kinds:
            raise place.member(path.text).fault("permits nothing: deeper paths enter what this never permits")
    return found


def _parse_optional(
    value: JsonValue, place: Place, arguments: dict[ArgumentPath, Constraint]
) -> frozenset[ArgumentPath]:
    found: set[ArgumentPath] = set()
    for index, item in enumerate(place.read_list(value, most=MAX_ARGUMENTS)):
        here = place.item(index)
        path = parse_argument_path(here.read_text(item), here)
        if path.steps[-1] is Items.EACH:
            raise here.fault("names each item of a list, and an item is never left out")
        if path not in arguments and not any(one.is_below(path) for one in arguments):  # rule 4
            raise here.fault(f"names `{quote(str(path))}`, which has no constraint in `arguments`")
        if path in found:
            raise here.fault(f"names `{quote(str(path))}` a second time")
        found.add(path)
    return frozenset(found)


def _parse_others(value: JsonValue, place: Place) -> Others:
    for choice in Others:
        if value == choice.value:
            return choice
    words = " or ".join(f'"{choice.value}"' for choice in Others)
    said = f"`{quote(value)}`" if isinstance(value, str) else kind_of(value)
    raise place.fault(f"must be {words}, not {said}")
