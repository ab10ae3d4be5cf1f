"""Evaluates a bundle for operations of the API.

1. Heads are compared as Cedar does (`head.HeadIndex`): a principal with its groups, an operation with its
   groups, a resource with its parents. Persons in facts are in their groups too.
2. Only policies that can be about operations are evaluated (`bundle.Policy.operations`). A policy that reads
   a fact that the operation lacks errs, and so refuses.
3. As for calls, each policy is evaluated as a permit, and answers are cached by their inputs within bounds.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, TypeAlias

import cedarpy

from taskbound.adapters.policy.cedar.bundle import ACTIONS
from taskbound.adapters.policy.cedar.reads import EntityPath
from taskbound.core.dataclass import dataclass
from taskbound.core.policy import Erred, Fact, FactKind, Forbid, PolicyAnswer
from taskbound.core.policy.operation import OPERATION_FACTS, About

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.adapters.policy.cedar.bundle import Bundle, Policy
    from taskbound.adapters.policy.cedar.reads import Entity, Json
    from taskbound.core.policy.operation import Operation, OperationRequest


_BASE: Final = "base:"
_KEPT: Final = 4_096
_ERROR: Final = re.compile(r"error while evaluating policy `policy(\d+)`: (.*)", re.DOTALL)
_Key: TypeAlias = (
    "tuple[EntityPath, EntityPath, EntityPath,"
    " tuple[tuple[str, Fact], ...], tuple[tuple[str, tuple[str, ...]], ...]]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Set:
    """Policies that can apply, ready to be evaluated."""

    policies: tuple[Policy, ...]
    handle: cedarpy.PolicySet
    facts: frozenset[str]


class OperationsOf:
    """The policies of one bundle that are about operations."""

    def __init__(self, bundle: Bundle, digest: str) -> None:
        self._bundle = bundle
        self._digest = digest
        self._sets: dict[tuple[int, ...], _Set] = {}
        self._answers: dict[_Key, PolicyAnswer] = {}
        about = [one for one in bundle.policies if one.operations]
        self.known = any(one.name.startswith(_BASE) for one in about)
        """Whether the base within the bundle says who may ask for operations."""
        self.words: Mapping[str, str] = {one.name: one.reason for one in bundle.policies if one.reason}
        """The reason of each policy that has one, by name."""

    @property
    def unfit(self) -> Mapping[str, str]:
        """By policy name: why a policy whose head fits operations cannot be about them."""
        return {one.name: one.unfit for one in self._bundle.policies if one.unfit}

    @property
    def every(self) -> frozenset[str]:
        return frozenset(one.name for one in self._bundle.policies if one.operations)

    def reads(self, operation: Operation) -> frozenset[str] | None:
        """Returns the facts read; None if only base policies apply: the principal's kind decides."""
        fits = _action(operation).fits()
        found = [
            one
            for one in self._bundle.policies
            if one.operations and any(fit in fits for fit in one.head.actions)
        ]
        if all(one.name.startswith(_BASE) for one in found):
            return None
        return frozenset().union(*[one.operation_facts for one in found])

    def looked_at(self, request: OperationRequest) -> tuple[tuple[str, ...], tuple[str, ...]]:
        chosen = self._set(_places(request))
        names = tuple(name for name in request.operation.facts if name in chosen.facts)
        return tuple(one.name for one in chosen.policies), names

    def answer(self, request: OperationRequest) -> PolicyAnswer:
        """Evaluates the request; never raises because of its contents."""
        places = _places(request)
        try:
            chosen = self._set(places)
            told = tuple(
                (name, request.facts[name]) for name in request.operation.facts if name in chosen.facts
            )
            people = tuple(sorted(request.members.items()))
            key: _Key = (*places, told, people)
            known = self._answers.get(key)
            if known is None:
                known = self._ask(request, chosen, places, told)
                if len(self._answers) >= _KEPT:
                    self._answers.clear()
                self._answers[key] = known  # 3
        except (KeyError, ValueError, TypeError) as error:
            return self._failed(f"a fact could not be told: {error}")
        return known

    def _set(self, places: tuple[EntityPath, EntityPath, EntityPath]) -> _Set:
        every = self._bundle.policies
        numbers = tuple(one for one in self._bundle.index.candidates(*places) if every[one].operations)  # 2
        known = self._sets.get(numbers)
        if known is None:
            chosen = tuple(every[one] for one in numbers)
            known = _Set(
                policies=chosen,
                handle=cedarpy.PolicySet.from_str("\n".join([one.as_permit for one in chosen])),  # 3
                facts=frozenset().union(*[one.operation_facts for one in chosen]),
            )
            if len(self._sets) >= _KEPT:
                self._sets.clear()
            self._sets[numbers] = known
        return known

    def _ask(
        self,
        request: OperationRequest,
        chosen: _Set,
        places: tuple[EntityPath, EntityPath, EntityPath],
        told: tuple[tuple[str, Fact], ...],
    ) -> PolicyAnswer:
        space = request.principal.namespace
        question = {
            "principal": _uid(places[0].entity),
            "action": _uid(places[1].entity),
            "resource": _uid(places[2].entity),
            "context": json.dumps({name: _told(space, name, value) for name, value in told}),
        }
        people = (
            EntityPath(
                entity=_entity(space, About.PERSON, one),
                above=frozenset(_entity(space, About.GROUP, group) for group in groups),
            )
            for one, groups in request.members.items()
        )
        entities: dict[Entity, Json] = {}
        for one in (*people, *places):  # 1
            parents: list[Json] = [dict(_uid(above)) for above in sorted(one.above)]
            entities[one.entity] = {"uid": dict(_uid(one.entity)), "attrs": {}, "parents": parents}
        result = cedarpy.is_authorized(
            question, chosen.handle, cedarpy.Entities.from_json_str(json.dumps(list(entities.values())))
        )
        erred: list[Erred] = []
        for error in result.diagnostics.errors:
            match = _ERROR.fullmatch(error)
            name = chosen.policies[int(match[1])].name if match else "engine"
            erred.append(Erred(policy=name, words=match[2] if match else error))
        if result.decision is cedarpy.Decision.NoDecision and not erred:
            return self._failed("it gave no answer and no reason")
        matched = sorted(
            (chosen.policies[int(one.removeprefix("policy"))] for one in result.diagnostics.reasons),
            key=lambda one: one.name,
        )
        return PolicyAnswer(
            permits=tuple(one.name for one in matched if not one.forbids),
            forbids=tuple(Forbid(policy=one.name, lifter=one.lifter) for one in matched if one.forbids),
            erred=tuple(sorted(erred, key=lambda one: (one.policy, one.words))),
            bundle=self._digest,
        )

    def _failed(self, words: str) -> PolicyAnswer:
        erred = (Erred(policy="engine", words=words),)
        return PolicyAnswer(permits=(), forbids=(), erred=erred, bundle=self._digest)


def _places(request: OperationRequest) -> tuple[EntityPath, EntityPath, EntityPath]:
    who, what = request.principal, request.resource
    space = who.namespace
    return (
        EntityPath(
            entity=(f"Taskbound::{who.kind.value}", f"{space}/{who.name}"),
            above=frozenset(_entity(space, About.GROUP, one) for one in request.groups),
        ),
        _action(request.operation),
        EntityPath(
            entity=_entity(space, what.about, what.name),
            above=frozenset(_entity(space, about, name) for about, name in what.above),
        ),
    )


def _action(operation: Operation) -> EntityPath:
    above = frozenset((ACTIONS, one) for one in operation.groups)
    return EntityPath(entity=(ACTIONS, operation.name), above=above)


def _entity(space: str, about: About, name: str) -> Entity:
    return f"Taskbound::{about.value}", space if about is About.NAMESPACE else f"{space}/{name}"


def _uid(entity: Entity) -> dict[str, str]:
    return {"type": entity[0], "id": entity[1]}


def _told(space: str, name: str, value: Fact) -> Json:
    match OPERATION_FACTS[name], value:
        case FactKind.TRUTH, bool():
            return value
        case FactKind.NUMBER, int() if not isinstance(value, bool):
            return value
        case FactKind.TEXT, str():
            return value
        case FactKind.TEXTS, tuple():
            return list(value)
        case FactKind.PERSON, str():
            return {"__entity": dict(_uid(_entity(space, About.PERSON, value)))}
        case FactKind.PERSONS, tuple():
            return [{"__entity": dict(_uid(_entity(space, About.PERSON, one)))} for one in value]
        case kind, _:
            raise TypeError(f"`{name}` is not of the kind `{kind.value}`")
