"""The one way in for a scope: strict, and naming the place of what is wrong.

1. Bytes are one strict JSON document; a value is taken through its canonical bytes, so
   that what is kept is a copy of its own in which 10.0 is 10.
2. A member that isn't known refuses; so does a constraint, a tool or a name of another shape.
3. A scope has 1 to 1,000 grants; two that cover the same calls are refused, for
   their limits would add up where one was meant.
4. ``total`` speaks of arguments that ``arguments`` constrains, ``optional`` also of objects that
   its paths enter. An argument with a total can't be optional: what is absent can't be counted.
5. What permits nothing (an empty list, a minimum above the maximum) is a mistake and refused.
6. A scope has grants, or 2 to 16 steps that have them. The ids of grants run on over the steps, and rule 3
   holds for grants that are in force together.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import MAX_INTEGER, canonical
from taskbound.core.action.parse import parse_document
from taskbound.core.errors import MalformedError
from taskbound.core.scope.constraints.constraint import Kind, read_constraint
from taskbound.core.scope.constraints.registry import CONSTRAINTS
from taskbound.core.scope.errors import ScopeSyntaxError
from taskbound.core.scope.grant import Grant, Others, Scope, Step
from taskbound.core.scope.limits import parse_rates, parse_totals
from taskbound.core.scope.path import Items, parse_argument_path
from taskbound.core.scope.place import Place
from taskbound.core.scope.show import kind_of, quote
from taskbound.core.tool.name import parse_tool_name

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint, Registry
    from taskbound.core.scope.path import ArgumentPath
    from taskbound.core.scope.path import Step as PathStep


MAX_GRANTS: Final = 1000
MAX_ARGUMENTS: Final = 256
MIN_STEPS: Final = 2
MAX_STEPS: Final = 16
_STEP_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")


def parse_scope(raw: bytes | JsonValue, *, registry: Registry = CONSTRAINTS) -> Scope:
    """The scope that is written here, compiled.

    Args:
        raw: The bytes of one JSON document, or a JSON value.
        registry: The constraints that it may name.

    Raises:
        ScopeSyntaxError: It is not one scope; ``where`` names the place.
    """
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
    """Refuse two grants that are in force together and cover the same calls (rule 3)."""
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
