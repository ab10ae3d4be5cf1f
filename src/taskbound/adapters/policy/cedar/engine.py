"""Evaluating one Cedar bundle, with every error and every name brought out.

1. Cedar's own verdict is not read: it skips policies that err, and the truth
   value of its result says nothing (measured: `bool()` of a denial is true).
2. Whatever Cedar can't evaluate at all is answered as an error of the bundle.
3. Only the facts that the policies read are handed over.
4. An answer is remembered under everything that it was computed from (request
   and bundle), so that remembering can't change it.
5. Cedar names only the forbids when one matched; whether a permit matched as
   well (what makes a hold of it) is asked of the permits alone.
"""

from __future__ import annotations

import json
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Final, TypeAlias

import cedarpy

from taskbound.adapters.policy.cedar.bundle import read_bundle
from taskbound.core.policy import Forbid, PolicyAnswer

if TYPE_CHECKING:
    from taskbound.core.policy import PolicyRequest

__all__ = ["CedarPolicyEngine", "base_bundle"]

_ACTION: Final = {"type": "Taskbound::Action", "id": "call"}
_REMEMBERED: Final = 4096
_Key: TypeAlias = "tuple[str, str, str, str, tuple[tuple[str, str | int | bool | tuple[str, ...]], ...]]"


def base_bundle() -> str:
    """The Cedar text of the bundle that holds in every namespace."""
    return files("taskbound.adapters.policy.cedar").joinpath("base.cedar").read_text(encoding="utf-8")


class CedarPolicyEngine:
    """One bundle, parsed once; see `taskbound.ports.policy.PolicyEngine` for its duties."""

    def __init__(self, text: str) -> None:
        """Parse the bundle.

        Raises:
            PolicySyntaxError: It can't be read, or reads a fact that does not exist.
        """
        self._bundle = read_bundle(text)
        self._digest = sha256(text.encode()).hexdigest()
        self._entities = cedarpy.Entities.from_json_str("[]")
        self._answers: dict[_Key, PolicyAnswer] = {}

    @property
    def bundle(self) -> str:
        """SHA-256 of the bundle's text, hex."""
        return self._digest

    @property
    def reads(self) -> frozenset[str]:
        """Names of the facts that its policies read."""
        return self._bundle.reads

    def answer(self, request: PolicyRequest) -> PolicyAnswer:
        """What the bundle says to this request; never raises for what a request holds."""
        given = sorted(self._bundle.reads & request.facts.keys())
        facts = tuple((name, request.facts[name]) for name in given)
        key: _Key = (request.namespace, request.agent, request.tool, request.server, facts)
        known = self._answers.get(key)
        if known is None:
            known = self._evaluate(request, facts)
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            self._answers[key] = known
        return known

    def _evaluate(
        self, request: PolicyRequest, facts: tuple[tuple[str, str | int | bool | tuple[str, ...]], ...]
    ) -> PolicyAnswer:
        question = {
            "principal": {"type": "Taskbound::Agent", "id": f"{request.namespace}/{request.agent}"},
            "action": _ACTION,
            "resource": {"type": "Taskbound::Tool", "id": f"{request.namespace}/{request.tool}"},
            "context": json.dumps(dict(facts)),
        }
        try:
            result = cedarpy.is_authorized(question, self._bundle.handle, self._entities)
            if result.decision is cedarpy.Decision.NoDecision:
                return self._erred(f"engine: {'; '.join(result.diagnostics.errors)}")  # 2
            forbids = self._forbids(result.diagnostics.reasons)
            named = result
            if forbids:  # 5
                named = cedarpy.is_authorized(question, self._bundle.permits, self._entities)
        except (ValueError, TypeError) as error:
            return self._erred(f"engine: {error}")  # 2
        permits = () if named.decision is not cedarpy.Decision.Allow else self._permits(named)
        erred = tuple(dict.fromkeys([*result.diagnostics.errors, *named.diagnostics.errors]))
        return PolicyAnswer(permits=permits, forbids=forbids, erred=erred, bundle=self._digest)

    def _forbids(self, reasons: list[str]) -> tuple[Forbid, ...]:
        bundle = self._bundle
        return tuple(
            Forbid(policy=bundle.names[one], lifter=bundle.lifters.get(one, ""))
            for one in sorted(reasons)
            if one in bundle.forbids
        )

    def _permits(self, result: cedarpy.AuthzResult) -> tuple[str, ...]:
        return tuple(sorted(result.diagnostics.id_annotations_by_reason.values()))

    def _erred(self, words: str) -> PolicyAnswer:
        return PolicyAnswer(permits=(), forbids=(), erred=(words,), bundle=self._digest)
