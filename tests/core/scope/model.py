"""The rules of covering and paying written a second time, in the plainest Python."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from taskbound.core.action.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue

Json = dict[str, "JsonValue"]


def covers(grant: Mapping[str, JsonValue], tool: str, arguments: Json, schema: Json | None) -> bool:
    rules = {steps(path): members(rule) for path, rule in members(grant.get("arguments", {})).items()}
    named = grant.get("optional", [])
    optional = {steps(str(path)) for path in named} if isinstance(named, list) else set()
    closed = grant.get("others") != "any"
    return (
        grant["tool"] == tool
        and fits((), rules, optional, arguments, schema or {}, closed=closed)
        and all(
            amount(arguments[name], members(about)["exponent"]) is not None
            for name, about in members(grant.get("total", {})).items()
        )
    )


def steps(path: str) -> tuple[str, ...]:
    return tuple(path.replace("[*]", ".*").split("."))


def fits(
    at: tuple[str, ...],
    rules: Mapping[tuple[str, ...], Json],
    optional: set[tuple[str, ...]],
    value: JsonValue,
    schema: JsonValue,
    *,
    closed: bool,
) -> bool:
    below = {path[len(at)] for path in rules if path[: len(at)] == at and path != at}
    if at in rules:
        closed = False
        if not permits(rules[at], value):
            return False
    if at and not below:
        return True
    about = schema if isinstance(schema, dict) else {}
    if below == {"*"}:
        return isinstance(value, list) and all(
            fits((*at, "*"), rules, optional, one, about.get("items"), closed=closed) for one in value
        )
    if not isinstance(value, dict):
        return False
    known = about.get("properties")
    defaults = known if isinstance(known, dict) else {}
    return all(
        fits((*at, name), rules, optional, value[name], defaults.get(name), closed=closed)
        if name in value
        else may_be_absent((*at, name), rules, optional)
        for name in below
    ) and not any(
        closed and name not in below and not _is(members(defaults.get(name, {})), one)
        for name, one in value.items()
    )


def may_be_absent(
    at: tuple[str, ...], rules: Mapping[tuple[str, ...], Json], optional: set[tuple[str, ...]]
) -> bool:
    below = {path[: len(at) + 1] for path in rules if path[: len(at)] == at and path != at}
    return at in optional or (
        at not in rules and all(one[-1] != "*" and may_be_absent(one, rules, optional) for one in below)
    )


def permits(rule: Json, value: JsonValue) -> bool:  # noqa: PLR0911 - one line a constraint
    ((tag, body),) = rule.items()
    match tag, body:
        case "any", _:
            return True
        case "equals", _:
            return canonical(body) == canonical(value)
        case "one_of", list():
            return canonical(value) in [canonical(one) for one in body]
        case "range", dict():
            return _is_number(value) and all(
                Decimal(canonical(value).decode()) * sign >= Decimal(canonical(body[bound]).decode()) * sign
                for bound, sign in (("min", 1), ("max", -1))
                if bound in body
            )
        case "prefix", str():
            return isinstance(value, str) and value[: len(body)] == body
        case "below", str():  # the paths of this world have only one `..`, in the middle
            folded = value.replace("/d/..", "") if isinstance(value, str) else ""
            return folded == body or folded.startswith(body.rstrip("/") + "/")
        case "not_one_of", list():
            return permits_other(body, value)
        case "length", dict():
            low, high = body.get("min", 0), body.get("max", 2**53)
            assert isinstance(low, int)
            assert isinstance(high, int)
            return isinstance(value, str | list) and low <= len(value) <= high
        case (("each" | "contains"), dict()):
            quantifier = all if tag == "each" else any
            return isinstance(value, list) and quantifier(permits(body, one) for one in value)
        case (("all_of" | "any_of"), list()):
            return (all if tag == "all_of" else any)(permits(members(one), value) for one in body)
    raise AssertionError(tag)


def permits_other(excluded: list[JsonValue], value: JsonValue) -> bool:
    folded = [one.casefold().strip() if isinstance(one, str) else one for one in [*excluded, value]]
    return canonical(folded[-1]) not in [canonical(one) for one in folded[:-1]]


def amount(value: JsonValue, exponent: JsonValue) -> int | None:
    if not _is_number(value) or not isinstance(exponent, int):
        return None
    units = Decimal(canonical(value).decode()) * 10**exponent
    return int(units) if units >= 0 and units == int(units) and units < 2**63 else None


def _is(about: Json, value: JsonValue) -> bool:
    return "default" in about and canonical(about["default"]) == canonical(value)


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def members(value: JsonValue) -> Json:
    assert isinstance(value, dict)
    return value
