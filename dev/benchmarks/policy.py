"""A decision in process over many policies, from bytes to answer without commit, against bare Cedar.

The arguments are 1 KB and nested, the policies `inputs/policies-20.cedar` and `inputs/policies-2000.cedar`:
one of twenty is an unscoped forbid, those for the tool read its arguments. *Bare* is `cedarpy.is_authorized`
over the same set and the same call, its context made for each request. *New* is a call that no answer is
remembered for, *known* one whose facts and arguments, as far as policies read them, were the same before.
*None unscoped* is the bundle of 2,000 without the unscoped ones: the difference is their slope.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import cedarpy

from dev.benchmarks.ground import PROOF, TOOL, Ground, call_of
from dev.benchmarks.inputs.cases import every_case
from dev.benchmarks.inputs.policies import read_policies
from dev.benchmarks.page import Aim, Section, Table
from dev.benchmarks.sampling import by_turns, micro
from taskbound.adapters.policy.cedar import CedarLanguage, CedarPolicyEngine
from taskbound.core.decision import Evaluated, Proposal
from taskbound.core.policy import PolicyTool
from taskbound.flows.decision.evaluate import Evaluator
from tests.sqlite import sqlite_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from dev.benchmarks.sampling import Timed
    from taskbound.core.action import JsonValue


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_HEAD: Final = (
    "policies", "bare p50 µs", "new p50 µs", "new p99 µs", "known p50 µs", "known p99 µs", "new / bare",
)  # fmt: skip  # a list of words reads better as words
_UNSCOPED: Final = "(principal, action, resource) when"


def measure_policy(*, quick: bool) -> Section:
    """The section."""
    small, large = read_policies(20), read_policies(2000)
    scoped = "\n".join(line for line in large.splitlines() if _UNSCOPED not in line)
    runs = {
        "20, 10 grants": (small, 10),
        "2,000, 100 grants": (large, 100),
        "2,000, none unscoped": (scoped, 100),
    }
    rows: list[tuple[str, ...]] = []
    numbers: dict[str, float] = {}
    for name, (text, grants) in runs.items():
        row, found = _measure(name, text, grants, quick=quick)
        rows.append(row)
        numbers |= found
    load = _load(large, quick=quick)
    ratio = numbers["20, 10 grants.new"] / numbers["20, 10 grants.bare"]
    growth = numbers["2,000, none unscoped.new"] / numbers["20, 10 grants.new"]
    slope = (numbers["2,000, 100 grants.new"] - numbers["2,000, none unscoped.new"]) / large.count(_UNSCOPED)
    return Section(
        name="policy",
        title="A decision over many policies",
        method=_METHOD,
        tables=(
            Table(
                head=_HEAD,
                rows=tuple(rows),
            ),
            Table(
                head=("2,000 policies", "p50 ms", "p99 ms"),
                rows=tuple(
                    (name, f"{one.median * 1e3:,.0f}", f"{one.p99 * 1e3:,.0f}") for name, one in load.items()
                ),
            ),
        ),
        aims=(
            Aim(
                words="20 policies, 10 grants: at most twice bare Cedar",
                measured=f"{ratio:.2f}",
                reached=ratio <= 2,  # noqa: PLR2004 - the aim
                reason="see the table",
            ),
            Aim(
                words="2,000 policies, 100 grants, but for unscoped ones: at most 1.5 times that of 20",
                measured=f"{growth:.2f}; an unscoped policy adds {slope * 1e6:.2f} µs",
                reached=growth <= 1.5,  # noqa: PLR2004 - the aim
                reason="see the table",
            ),
        ),
        numbers=numbers
        | {f"load.{name}": one.median for name, one in load.items()}
        | {f"load.{name}.p99": one.p99 for name, one in load.items()},
    )


def _measure(name: str, text: str, grants: int, *, quick: bool) -> tuple[tuple[str, ...], dict[str, float]]:
    ground = Ground.over(sqlite_store())
    ground.settle_in()
    arguments = next(one for one in every_case() if one.name == "nested").arguments
    task = ground.start(_grants(grants))
    call = call_of(task.id, arguments, request="1")
    engine = CedarPolicyEngine(text)
    evaluator = Evaluator(
        ground.views, ground.policies_of(engine), ground.adapters.operands, ground.adapters.tokens
    )
    clock = ground.adapters.clock

    def known() -> object:
        return evaluator.evaluate(call, "act_00000000000000000000000000", clock.now())

    def new() -> object:
        engine._answers.clear()  # noqa: SLF001 - the memory is what is left out here
        return known()

    proposal = evaluator.evaluate(call, "act_x", clock.now())
    if not isinstance(proposal, Proposal) or not isinstance(proposal.verdict, Evaluated):
        raise TypeError(f"the call was not permitted: {proposal}")
    turns, pieces = (5, 200) if quick else (11, 1000)
    timed = by_turns({"bare": _bare(text, arguments), "new": new, "known": known}, turns=turns, pieces=pieces)
    bare, fresh, seen = timed["bare"], timed["new"], timed["known"]
    row = (
        name,
        micro(bare.median),
        micro(fresh.median),
        micro(fresh.p99),
        micro(seen.median),
        micro(seen.p99),
        f"{fresh.median / bare.median:.2f}",
    )
    numbers = {
        f"{name}.bare": bare.median,
        f"{name}.new": fresh.median,
        f"{name}.new.p99": fresh.p99,
        f"{name}.known": seen.median,
        f"{name}.known.p99": seen.p99,
    }
    return row, numbers


def _bare(text: str, arguments: dict[str, JsonValue]) -> Callable[[], object]:
    policies = cedarpy.PolicySet.from_str(text)
    above = {"type": "Taskbound::Action", "id": "call"}
    server = {"type": "Taskbound::Server", "id": "default/bank"}
    action, tool = (
        {"type": "Taskbound::Action", "id": TOOL},
        {"type": "Taskbound::Tool", "id": f"default/{TOOL}"},
    )
    entities = cedarpy.Entities.from_json_str(
        json.dumps(
            [
                {"uid": action, "attrs": {}, "parents": [above]},
                {"uid": tool, "attrs": {}, "parents": [server]},
            ]
        )
    )
    facts = {"attempt": 1, "covered": True, "effect": "destructive", "flags": [], "proof": PROOF}

    def ask() -> object:
        question = {
            "principal": {"type": "Taskbound::Agent", "id": "default/coder"},
            "action": action,
            "resource": tool,
            "context": json.dumps(facts | {"arguments": _cedar(arguments)}),
        }
        return cedarpy.is_authorized(question, policies, entities)

    return ask


def _cedar(value: JsonValue) -> object:
    """The least that makes Cedar take a value: no null, no fraction."""
    if isinstance(value, dict):
        return {name: _cedar(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_cedar(one) for one in value if one is not None]
    return {"__extn": {"fn": "decimal", "arg": str(value)}} if isinstance(value, float) else value


def _grants(count: int) -> JsonValue:
    """So many grants of the tool, of which the last one covers."""
    found: list[JsonValue] = [
        {
            "tool": TOOL,
            "arguments": {"to": {"equals": f"shop-{n}"}, "amount": {"any": True}, "order": {"any": True}},
        }
        for n in range(count - 1)
    ]
    return {"grants": [*found, {"tool": TOOL, "others": "any", "uses": 1_000_000_000}]}


def _load(text: str, *, quick: bool) -> dict[str, Timed]:
    """What is done once for a bundle: read, and examined for the tools, each several times over."""
    schema: dict[str, JsonValue] = {
        "type": "object",
        "required": ["amount", "to"],
        "properties": {
            "amount": {"type": "number"},
            "note": {"type": "string"},
            "order": {"type": "object"},
            "to": {"type": "string"},
        },
    }
    names = [(f"s{n % 50}", f"s{n % 50}__t{n}") for n in range(20, 2000)]
    tools = [
        PolicyTool(namespace="default", name=tool, server=server, schema=schema)
        for server, tool in [("bank", TOOL), *names]
    ]
    read, examined = "read and indexed", "examined against 1,981 tools"

    def examine() -> object:
        return CedarLanguage().problems({"policies.cedar": text}, tools)

    turns = (2, 2) if quick else (11, 5)  # examining takes a quarter of a minute
    return by_turns({read: lambda: CedarPolicyEngine(text)}, turns=turns[0], pieces=2) | by_turns(
        {examined: examine}, turns=turns[1], pieces=1
    )
