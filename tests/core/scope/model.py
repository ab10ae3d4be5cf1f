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
    rules = members(grant.get("arguments", {}))
    optional = grant.get("optional", [])
    properties = members(schema["properties"]) if schema else {}
    return (
        grant["tool"] == tool
        and all(name in arguments or (isinstance(optional, list) and name in optional) for name in rules)
        and all(permits(members(rules[name]), value) for name, value in arguments.items() if name in rules)
        and all(
            grant.get("others") == "any" or _is(members(properties.get(name, {})), value)
            for name, value in arguments.items()
            if name not in rules
        )
        and all(
            amount(arguments[name], members(about)["exponent"]) is not None
            for name, about in members(grant.get("total", {})).items()
        )
    )


def permits(rule: Json, value: JsonValue) -> bool:
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
    raise AssertionError(tag)


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
