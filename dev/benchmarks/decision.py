"""Row 1: a decision in process without commit, from bytes to verdict, against bare Cedar on the same request.

*Bare* is `cedarpy.is_authorized` with the same facts over the same bundle, its context made for each request:
what a program pays that asks Cedar and does nothing else. Ours parses the bytes, compares them with their
canonical form, finds the covering grant and asks Cedar, whose answer to the same facts is remembered.
*Unremembered* is the same without that memory.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import cedarpy

from dev.benchmarks.ground import PROOF, TOOL, Ground, call_of
from dev.benchmarks.inputs.cases import every_case
from dev.benchmarks.page import Section, Table
from dev.benchmarks.sampling import by_turns, micro
from taskbound.adapters.policy.cedar import CedarPolicyEngine, base_bundle
from taskbound.core.decision import Evaluated, Proposal
from taskbound.flows.decision.evaluate import Evaluator
from tests.sqlite import sqlite_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from dev.benchmarks.inputs.cases import Case
    from taskbound.core.policy import PolicyAnswer, PolicyReads, PolicyRequest
    from taskbound.flows.decision import Call


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]


class _Forgetful:
    """The policy engine without its memory."""

    def __init__(self) -> None:
        self._engine = CedarPolicyEngine(base_bundle())
        self.bundle = self._engine.bundle
        self.reads = self._engine.reads
        self.policies = self._engine.policies
        self.lifters = self._engine.lifters
        self.trace = self._engine.trace
        self.operations = self._engine.operations

    def reads_of(self, namespace: str, agent: str, tool: str, server: str) -> PolicyReads:
        """As if the arguments were read, so that each call is asked for."""
        return replace(self._engine.reads_of(namespace, agent, tool, server), arguments=True)

    def answer(self, request: PolicyRequest) -> PolicyAnswer:
        self._engine._answers.clear()  # noqa: SLF001 - the memory is what is left out here
        return self._engine.answer(request)


def measure_decision(*, quick: bool) -> Section:
    """The section."""
    rows: list[tuple[str, ...]] = []
    numbers: dict[str, float] = {}
    for case in every_case():
        row, found = _measure(case, quick=quick)
        rows.append(row)
        numbers |= found
    head = (
        "case", "arguments", "bare Cedar p50 µs", "ours p50 µs", "ours p99 µs", "ours CPU µs", "ratio",
        "unremembered p50 µs",
    )  # fmt: skip  # a list of words reads better as words
    return Section(
        name="decision",
        title="A decision in process, without commit",
        method=_METHOD,
        tables=(Table(head=head, rows=tuple(rows)),),
        numbers=numbers,
    )


def _measure(case: Case, *, quick: bool) -> tuple[tuple[str, ...], dict[str, float]]:
    ground = Ground.over(sqlite_store())
    ground.settle_in()
    task = ground.start(case.scope)
    call = call_of(task.id, case.arguments, request="1")
    ours = _evaluate(
        ground,
        Evaluator(ground.views, ground.adapters.policy, ground.adapters.operands, ground.adapters.tokens),
        call,
    )
    plain = _evaluate(
        ground,
        Evaluator(
            ground.views,
            ground.policies_of(_Forgetful()),
            ground.adapters.operands,
            ground.adapters.tokens,
        ),
        call,
    )
    evaluator = Evaluator(
        ground.views, ground.adapters.policy, ground.adapters.operands, ground.adapters.tokens
    )
    verdict = evaluator.evaluate(call, "act_x", ground.adapters.clock.now())
    covered = isinstance(verdict, Proposal) and isinstance(verdict.verdict, Evaluated)
    if covered is not case.covered:
        raise RuntimeError(f"the case `{case.name}` was not answered as it says")
    slow = len(call.arguments) > 10_000 or not case.covered or case.name == "grants"  # noqa: PLR2004 - ten KB
    turns, pieces = (5, 20 if slow else 1000) if quick else (11, 60 if slow else 4000)
    timed = by_turns({"bare": _bare(), "ours": ours, "plain": plain}, turns=turns, pieces=pieces)
    bare, mine, without = timed["bare"], timed["ours"], timed["plain"]
    row = (
        f"{case.name}: {case.words}",
        f"{len(call.arguments):,} B",
        micro(bare.median),
        micro(mine.median),
        micro(mine.p99),
        micro(mine.cpu),
        f"{mine.median / bare.median:.2f}",
        micro(without.median),
    )
    numbers = {
        f"{case.name}.bare.p50": bare.median,
        f"{case.name}.ours.p50": mine.median,
        f"{case.name}.ours.p99": mine.p99,
        f"{case.name}.ours.cpu": mine.cpu,
        f"{case.name}.unremembered.p50": without.median,
    }
    return row, numbers


def _evaluate(ground: Ground, evaluator: Evaluator, call: Call) -> Callable[[], object]:
    clock = ground.adapters.clock
    return lambda: evaluator.evaluate(call, "act_00000000000000000000000000", clock.now())


def _bare() -> Callable[[], object]:
    policies = cedarpy.PolicySet.from_str(base_bundle())
    above = {"type": "Taskbound::Action", "id": "call"}
    action = {"uid": {"type": "Taskbound::Action", "id": TOOL}, "attrs": {}, "parents": [above]}
    entities = cedarpy.Entities.from_json_str(json.dumps([action]))

    def ask() -> object:
        facts = {
            "attempt": 1,
            "checked": "",
            "covered": True,
            "effect": "destructive",
            "flags": [],
            "idempotent": False,
            "last_outcome": "none",
            "proof": PROOF,
        }
        question = {
            "principal": {"type": "Taskbound::Agent", "id": "default/coder"},
            "action": {"type": "Taskbound::Action", "id": TOOL},
            "resource": {"type": "Taskbound::Tool", "id": f"default/{TOOL}"},
            "context": json.dumps(facts),
        }
        return cedarpy.is_authorized(question, policies, entities)

    return ask
