"""The one way in for a scope: strict, and naming the place of what is wrong.

1. Bytes are one strict JSON document; a value is taken through its canonical bytes, so
   that what is kept is a copy of its own in which 10.0 is 10.
2. A member that isn't known refuses; so does a constraint, a tool or a name of another shape.
3. A scope has 1 to 1,000 grants; two that cover the same calls are refused, for
   their limits would add up where one was meant.
4. ``total`` speaks of arguments that ``arguments`` constrains, ``optional`` also of objects that
   its paths enter. An argument with a total can't be optional: what is absent can't be counted.
5. What permits nothing (an empty list, a minimum above the maximum) is a mistake and refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import MAX_INTEGER, canonical
from taskbound.core.action.parse import parse_document
from taskbound.core.errors import MalformedError
from taskbound.core.scope.constraints.constraint import Kind, read_constraint
from taskbound.core.scope.constraints.registry import CONSTRAINTS
from taskbound.core.scope.errors import ScopeSyntaxError
from taskbound.core.scope.grant import Grant, Others, Scope, Total
from taskbound.core.scope.number import MAX_EXPONENT
from taskbound.core.scope.path import Items, parse_argument_path
from taskbound.core.scope.place import Place
from taskbound.core.scope.show import kind_of, quote
from taskbound.core.tool.name import parse_tool_name

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint, Registry
    from taskbound.core.scope.path import ArgumentPath, Step

__all__ = ["MAX_ARGUMENTS", "MAX_GRANTS", "parse_scope"]

MAX_GRANTS: Final = 1000
MAX_ARGUMENTS: Final = 256


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
    members = top.read_object(value, required=("grants",), allowed=())
    place = top.member("grants")
    items = place.read_list(members["grants"], most=MAX_GRANTS)  # rule 3
    if not items:
        raise place.fault("must not be empty: a task without a grant can do nothing")
    grants = tuple(_parse_grant(item, index, place.item(index), registry) for index, item in enumerate(items))
    seen: dict[bytes, int] = {}
    for index, grant in enumerate(grants):
        first = seen.setdefault(canonical(grant.coverage()), index)
        if first != index:  # rule 3
            raise place.item(index).fault(
                f"covers the same calls as grants[{first}], and their limits would add up; write one grant"
            )
    return Scope(grants=grants)


def _parse_grant(value: JsonValue, index: int, place: Place, registry: Registry) -> Grant:
    members = place.read_object(
        value, required=("tool",), allowed=("arguments", "optional", "others", "uses", "total")
    )
    arguments = _parse_arguments(members.get("arguments", {}), place.member("arguments"), registry)
    optional = _parse_optional(members.get("optional", []), place.member("optional"), arguments)
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
        totals=_parse_totals(members.get("total", {}), place.member("total"), name, arguments, optional),
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
    entered: dict[tuple[Step, ...], Step] = {}
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


def _parse_totals(
    value: JsonValue,
    place: Place,
    grant: str,
    arguments: dict[ArgumentPath, Constraint],
    optional: frozenset[ArgumentPath],
) -> tuple[Total, ...]:
    totals: list[Total] = []
    for name, body in sorted(place.read_object(value).items()):
        here = place.member(name)
        path = parse_argument_path(name, here)
        if path not in arguments:  # rule 4
            raise here.fault('limits an argument that has no constraint in `arguments`; {"any": true} is one')
        if Items.EACH in path.steps:
            raise here.fault("limits each item of a list; a total is of one value, by a path without `[*]`")
        if path in optional or any(path.is_below(one) for one in optional):
            raise here.fault("limits an argument that is optional; what is absent can't be counted")
        members = here.read_object(body, required=("limit", "exponent"), allowed=())
        limit = here.member("limit").read_integer(members["limit"], least=1, most=MAX_INTEGER)
        exponent = here.member("exponent").read_integer(members["exponent"], least=0, most=MAX_EXPONENT)
        totals.append(Total(path=path, limit=limit, exponent=exponent, key=f"{grant}/total/{path}"))
    return tuple(totals)
