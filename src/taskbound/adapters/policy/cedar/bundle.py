"""Reading a Cedar bundle: its policies by their own names, and the facts that they read.

1. Every policy has an `@id`, and no two have the same: records name policies by it.
2. A policy that reads a fact that does not exist is refused when the bundle is
   read, not when it errs.
3. A policy that uses the whole of `context` reads every fact.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import cedarpy

from taskbound.core.policy import FACTS, PolicySyntaxError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Bundle", "read_bundle"]

_CONTEXT: Final = {"Var": "context"}

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle, parsed once."""

    handle: cedarpy.PolicySet
    permits: cedarpy.PolicySet
    """Its `permit` policies alone: Cedar names no permit beside a matching forbid."""
    names: Mapping[str, str]
    """The `@id` by Cedar's positional id."""
    lifters: Mapping[str, str]
    """The `@hold` of each `forbid` by Cedar's positional id; absent for one without."""
    forbids: frozenset[str]
    """Positional ids of the `forbid` policies."""
    reads: frozenset[str]


def read_bundle(text: str) -> Bundle:
    """The bundle that this Cedar text holds.

    Raises:
        PolicySyntaxError: The text can't be parsed, a policy has no name, two have the
            same, or one reads a fact that does not exist.
    """
    try:
        handle = cedarpy.PolicySet.from_str(text)
        document: Json = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as error:
        raise PolicySyntaxError(f"the bundle can't be parsed: {error}") from error
    policies = _object(_object(document).get("staticPolicies", {}))
    names: dict[str, str] = {}
    lifters: dict[str, str] = {}
    forbids: set[str] = set()
    reads: set[str] = set()
    for position, policy in policies.items():
        body = _object(policy)
        annotations = _object(body.get("annotations", {}))
        names[position] = _name(position, annotations, names)
        if body.get("effect") == "forbid":
            forbids.add(position)
            if "hold" in annotations:
                lifters[position] = str(annotations["hold"] or "confirm")
        reads.update(_reads(names[position], body))
    permits = {one: policies[one] for one in policies if one not in forbids}
    return Bundle(
        handle=handle,
        permits=_subset(permits),
        names=names,
        lifters=lifters,
        forbids=frozenset(forbids),
        reads=frozenset(reads),
    )


def _subset(policies: Mapping[str, Json]) -> cedarpy.PolicySet:
    document = {"templates": {}, "staticPolicies": dict(policies), "templateLinks": []}
    return cedarpy.PolicySet.from_str(cedarpy.policies_from_json_str(json.dumps(document)))


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise PolicySyntaxError("the bundle's parsed form is not what this version of Cedar promises")
    return value


def _name(position: str, annotations: Mapping[str, Json], names: Mapping[str, str]) -> str:
    name = annotations.get("id")
    if not isinstance(name, str) or not name:
        raise PolicySyntaxError(f"`{position}` has no name", where=position, remedy='write @id("…") above it')
    if name in names.values():
        raise PolicySyntaxError(f"two policies are named `{name}`", where=position)
    return name


def _reads(name: str, body: Mapping[str, Json]) -> frozenset[str]:
    conditions = body.get("conditions", [])
    found = set(_attributes(conditions))
    if "" in found:
        return frozenset(FACTS)  # 3
    unknown = sorted(found.difference(FACTS))
    if unknown:
        raise PolicySyntaxError(  # 2
            f"policy `{name}` reads `context.{unknown[0]}`, which does not exist",
            where=name,
            remedy=f"the facts are {', '.join(FACTS)}",
        )
    return frozenset(found)


def _attributes(node: Json) -> Iterator[str]:
    """Names of the attributes of `context` in this tree; the empty name for `context` as a whole."""
    if isinstance(node, list):
        for one in node:
            yield from _attributes(one)
    elif isinstance(node, dict):
        for operator, operand in node.items():
            if operator in {".", "has"} and isinstance(operand, dict) and operand.get("left") == _CONTEXT:
                yield str(operand.get("attr"))
            elif operator == "Var" and operand == "context":
                yield ""
            else:
                yield from _attributes(operand)
