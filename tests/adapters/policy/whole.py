"""Random bundles and requests, and what plain cedarpy says to them: no index, no memory, nothing left out."""

from __future__ import annotations

import json
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import cedarpy

from taskbound.adapters.policy.cedar import CedarPolicyEngine
from taskbound.adapters.policy.cedar.mapping import tell, tell_beside
from taskbound.adapters.policy.cedar.vocabulary import shape_of
from taskbound.core.policy import Forbidden, Held, Permitted, PolicyRequest, conclude
from tests.adapters.policy.rules import Said, follows

if TYPE_CHECKING:
    from taskbound.core.policy import PolicyAnswer

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["path"],
    "properties": {
        "path": {"type": "string"},
        "amount": {"type": "number"},
        "count": {"type": ["integer", "null"]},
        "flag": {"type": "boolean"},
        "names": {"type": "array", "items": {"type": "string"}},
        "either": {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
        "deep": {
            "type": "object",
            "properties": {
                "owner": {"type": "string"},
                "inner": {"type": "object", "properties": {"depth": {"type": "integer"}, "q r": {}}},
            },
        },
        "env": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
_PRINCIPALS: Final = (
    "principal",
    "principal",
    'principal == Taskbound::Agent::"n/a0"',
    'principal == Taskbound::Agent::"n/a1"',
    'principal in Taskbound::Agent::"n/a0"',
    'principal in Taskbound::Group::"n/g"',
    "principal is Taskbound::Agent",
    "principal is Taskbound::Person",
    'principal is Taskbound::Agent in Taskbound::Agent::"n/a1"',
)
_ACTIONS: Final = (
    "action",
    "action",
    'action in Taskbound::Action::"call"',
    'action == Taskbound::Action::"s0__t0"',
    'action == Taskbound::Action::"s1__t1"',
    'action in Taskbound::Action::"s0__t0"',
    'action in [Taskbound::Action::"s0__t0", Taskbound::Action::"s1__t1"]',
    'action in [Taskbound::Action::"nobody", Taskbound::Action::"call"]',
    "action in []",
)
_RESOURCES: Final = (
    "resource",
    "resource",
    'resource == Taskbound::Tool::"n/s0__t0"',
    'resource in Taskbound::Server::"n/s0"',
    'resource in Taskbound::Tool::"n/s1__t1"',
    "resource is Taskbound::Tool",
    "resource is Taskbound::Server",
    'resource is Taskbound::Tool in Taskbound::Server::"n/s1"',
    'resource is Taskbound::Tool in Taskbound::Tool::"n/s0__t0"',
)
_ATOMS: Final = (
    "context.covered",
    'context.effect == "read"',
    "context.attempt + 9223372036854775807 > 0",
    "context.attempt > 1",
    'context.flags.contains("bidi")',
    'context.arguments.path like "/srv/*"',
    'context.arguments has path && context.arguments.path == "/srv"',
    "context.arguments has amount",
    'context.arguments has amount && context.arguments.amount.lessThan(decimal("10.0"))',
    'context.arguments.amount == decimal("1.5")',
    "context.arguments has count",
    "context.arguments.count > 3",
    "context.arguments.count",
    'context.arguments["flag"]',
    'context.arguments.names.contains("bob")',
    "context.arguments has names && context.arguments.names.isEmpty()",
    'context.arguments.names == ["bob", "eve"]',
    'context.arguments has either.string && context.arguments.either.string == "x"',
    "context.arguments.either has long",
    "context.arguments.either.long < 5",
    "context.arguments has deep.inner.depth && context.arguments.deep.inner.depth == 3",
    'context.arguments.deep == {"owner": "ann"}',
    'context.arguments.deep.inner["q r"] has string',
    "context.arguments has env && context.arguments.env has HOME",
    "context.arguments.env has PATH",
    "context.arguments has other",
    "context.arguments.other == 3",
    "context.arguments == context.arguments",
    'context.counts has "arguments/names" && context.counts["arguments/names"] > 1',
    'context.keys["arguments"].contains("path")',
    'context.keys["arguments/env"].containsAny(["HOME", "PATH"])',
    'context.nulls.contains("arguments/count")',
    '{"a": context}.a.covered',
    '(if context.covered then context.arguments else {"path": "/srv"}).path == "/srv"',
    '{"p": principal}.p.owner == Taskbound::Person::"n/ann"',
    '(if context.covered then principal else Taskbound::Agent::"n/a1").name == "a0"',
    'Taskbound::Agent::"n/a0".name == "a0"',
    'Taskbound::Agent::"n/a0" has owner',
    'principal == Taskbound::Agent::"n/a0"',
    'principal.owner == Taskbound::Person::"n/ann"',
    'principal.approvers.contains(Taskbound::Person::"n/bob")',
    "principal has owner",
    'principal.owner in Taskbound::Group::"n/g"',
    'resource in Taskbound::Server::"n/s0"',
    "resource.open_world",
    'resource.server == "s0"',
    '[principal, resource].contains(Taskbound::Agent::"n/a0")',
    "context.task.age > 60",
    'context.task == Taskbound::Task::"n/tsk_1"',
    "context.task.requester == principal.owner",
    'context has task && context.task.purpose like "*mend*"',
    "context has arguments",
    'action in Taskbound::Action::"call"',
    'action == Taskbound::Action::"s0__t0"',
    "principal is Taskbound::Agent",
    'resource is Taskbound::Tool in Taskbound::Server::"n/s1"',
    "true",
    "false",
)
_UNKNOWN: Final = ("__entity", "other")
_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "path": ("/srv", "/srv/x", "/etc", "a\x00b", 3, None),
    "amount": (1.5, 1, 10, 9.99999, 1e-7, 9.3e14, -3.25, "1", None),
    "count": (3, 4, None, 2**53 - 1, 1.5, True),
    "flag": (True, False, "true", 1),
    "names": ([], ["bob"], ["eve", "bob"], ["bob", "bob", "eve"], ["bob", 3], ["bob", None], "bob"),
    "either": ("x", 4, 7, None, 1.5, [], {"string": "x"}),
    "deep": (
        {},
        {"owner": "ann"},
        {"owner": "ann", "inner": {"depth": 3}},
        {"inner": {"q r": "x"}},
        {"inner": {"q r": 2}, "more": 1},
        {"__entity": {"type": "Taskbound::Agent", "id": "n/a0"}},
        [],
    ),
    "env": ({}, {}, {"HOME": "/x"}, {"PATH": 3, "__extn": {"fn": "decimal", "arg": "1.0"}}),
    "other": (3, {"a": 1}),
    "__entity": ({"type": "Taskbound::Agent", "id": "n/a0"},),
}


_SHAPE: Final = shape_of(SCHEMA)
_APART: Final = 10
"""Of so many requests one is asked of each policy alone as well, which takes as long as all else."""
Whole: TypeAlias = "tuple[dict[str, Any], cedarpy.Entities]"


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - the same course of events for the same seed is what is wanted


def condition(chance: Random, depth: int = 2) -> str:
    """A condition that may hold, not hold or err."""
    if depth == 0 or chance.random() < 0.4:
        return f"({chance.choice(_ATOMS)})"
    left, right = condition(chance, depth - 1), condition(chance, depth - 1)
    form = chance.choice(("{0} && {1}", "{0} || {1}", "!{0}", "if {0} then {1} else {0}", "{0} == {1}"))
    return f"({form.format(left, right)})"


def bundle(chance: Random, most: int = 8) -> str:
    """Policies with heads of every form."""
    lines: list[str] = []
    for number in range(chance.randint(0, most)):
        effect = chance.choice(("permit", "forbid"))
        hold = '@hold("confirm") ' if effect == "forbid" and chance.random() < 0.4 else ""
        head = ", ".join(chance.choice(part) for part in (_PRINCIPALS, _ACTIONS, _RESOURCES))
        when = " ".join(
            f"{chance.choice(('when', 'unless'))} {{ {condition(chance)} }}"
            for _ in range(chance.randint(0, 2))
        )
        lines.append(f'@id("p-{number}") {hold}{effect} ({head}) {when};')
    return "\n".join(lines)


def request(chance: Random) -> PolicyRequest:
    """A request about one of two agents and tools, with arguments that may fit their schema or not."""
    fitting = chance.random() < 0.8
    known = sorted(_VALUES.keys() - (_UNKNOWN if fitting else ()))
    names = chance.sample(known, chance.randint(0, 5))
    arguments = {one: chance.choice(_VALUES[one][:2] if fitting else _VALUES[one]) for one in names}
    server, tool = chance.choice((("s0", "s0__t0"), ("s1", "s1__t1"), ("s1", "s1__t2")))
    return PolicyRequest(
        namespace="n",
        agent=chance.choice(("a0", "a1", "a2")),
        tool=tool,
        server=server,
        task=chance.choice(("tsk_1", "tsk_2")),
        arguments=arguments,
        definition="d",
        schema=SCHEMA,
        facts={
            "attempt": chance.choice((1, 2)),
            "covered": chance.random() < 0.8,
            "effect": chance.choice(("read", "write")),
            "changed": chance.choice(((), ("policy",))),
            "check_found": (),
            "checked": "",
            "flags": chance.choice(((), ("bidi",))),
            "credential_life": chance.choice((0, 600)),
            "idempotent": False,
            "last_action": "",
            "last_age": chance.choice((0, 60)),
            "last_outcome": "none",
            "operands": (),
            "risk": chance.choice(("low", "high")),
            "proof": "peer-uid:1 (unproven)",
            "agent.approvers": chance.choice((("bob",), ("ann", "bob"))),
            "agent.name": "a0",
            "agent.namespace": "n",
            "agent.owner": chance.choice(("ann", "bob")),
            "task.age": chance.choice((1, 100)),
            "task.depth": 0,
            "task.evidence": (),
            "task.learning": False,
            "task.proven": (),
            "task.unproven": (),
            "task.purpose": chance.choice(("mend it", "look")),
            "task.remaining": 3,
            "task.requester": "ann",
            "tool.effect": "read",
            "tool.name": tool,
            "tool.open_world": chance.random() < 0.5,
            "tool.server": server,
        },
    )


def told_whole(asked: PolicyRequest) -> Whole | None:
    """The question and all entities with all that there is to tell; none when not all can be told."""
    told, unmapped = tell(asked.arguments, _SHAPE, None)
    if unmapped:
        return None
    context = _facts(asked, "") | {"arguments": told, "task": _entity("Task", asked.task)}
    context |= {one: tell_beside(asked.arguments, one, None) for one in ("counts", "keys", "nulls")}
    server = _uid("Server", asked.server)
    entities: list[dict[str, Any]] = [
        {"uid": _uid("Agent", asked.agent), "attrs": _facts(asked, "agent."), "parents": []},
        {"uid": _uid("Task", asked.task), "attrs": _facts(asked, "task."), "parents": []},
        {"uid": _uid("Tool", asked.tool), "attrs": _facts(asked, "tool."), "parents": [server]},
        {"uid": _action(asked.tool), "attrs": {}, "parents": [_action("call")]},
    ]
    question = {
        "principal": _uid("Agent", asked.agent),
        "action": _action(asked.tool),
        "resource": _uid("Tool", asked.tool),
        "context": context,
    }
    return question, cedarpy.Entities.from_json_str(json.dumps(entities))


def said_together(text: str, whole: Whole) -> list[Said]:
    """What each policy says, asked of plain cedarpy over the whole text, and over its permits alone."""
    lines = text.splitlines()
    permits = [line for line in lines if _effect(line) == "permit"]
    answers = [
        cedarpy.is_authorized(whole[0], _parsed(some), whole[1]) for some in (text, "\n".join(permits))
    ]
    matched = {one for answer in answers for one in answer.diagnostics.id_annotations_by_reason.values()}
    numbers = [int(one.split("`policy")[1].split("`")[0]) for one in answers[0].diagnostics.errors]
    erred = {name_of(lines[number]) for number in numbers}
    return [_said(line, name_of(line) in matched, name_of(line) in erred) for line in lines]


def said_alone(text: str, whole: Whole) -> list[Said]:
    """What each policy says when plain cedarpy is asked about it and nothing else, as a permit."""
    found: list[Said] = []
    for line in text.splitlines():
        turned = line.replace("forbid (", "permit (", 1)
        answer = cedarpy.is_authorized(whole[0], _parsed(turned), whole[1])
        found.append(_said(line, bool(answer.diagnostics.reasons), erred=bool(answer.diagnostics.errors)))
    return found


@lru_cache(maxsize=256)
def _parsed(text: str) -> cedarpy.PolicySet:
    return cedarpy.PolicySet.from_str(text)


def name_of(line: str) -> str:
    return line.split('"')[1]


def _effect(line: str) -> str:
    return "forbid" if "forbid (principal" in line else "permit"


def _said(line: str, matched: bool, erred: bool) -> Said:  # noqa: FBT001 - two words about one policy
    lifter = "confirm" if '@hold("confirm")' in line else ""
    return Said(
        name=name_of(line), forbids=_effect(line) == "forbid", lifter=lifter, matched=matched, erred=erred
    )


def require_alike(chance: Random, requests: int) -> dict[str, int]:
    """One bundle, so many requests: the engine says what plain cedarpy and the plain rules say.

    Raises:
        AssertionError: It does not.
    """
    text = bundle(chance)
    engine = CedarPolicyEngine(text)
    counted = {"compared": 0, "untold": 0}
    for number in range(requests):
        asked = request(chance)
        answer = engine.answer(asked)
        whole = told_whole(asked)
        if whole is None:
            counted["untold"] += 1
            continue
        counted["compared"] += 1
        said = said_together(text, whole)
        names = [one.name for one in said if one.matched and not one.forbids]
        forbids = [(one.name, one.lifter) for one in said if one.matched and one.forbids]
        expected = (names, forbids, [one.name for one in said if one.erred])
        found = (
            list(answer.permits),
            [(one.policy, one.lifter) for one in answer.forbids],
            sorted({one.policy for one in answer.erred}),
        )
        apart = said if number % _APART else said_alone(text, whole)
        if found != expected or said != apart:
            raise AssertionError(f"{text}\n{asked}\nours: {found}\nplain: {expected}")
        if _concluded(answer) != follows(said):
            raise AssertionError(f"{text}\n{asked}\nours: {_concluded(answer)}\nplain: {follows(said)}")
    return counted


def _concluded(answer: PolicyAnswer) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    match conclude(answer):
        case Permitted() as one:
            return "permitted", one.policies, ()
        case Held() as one:
            return "held", one.policies, one.lifters
        case Forbidden() as one:
            return one.code, one.policies, ()


def _facts(asked: PolicyRequest, above: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in asked.facts.items():
        if name.startswith(above) and ("." in name) is bool(above):
            short = name.removeprefix(above)
            if short in {"owner", "requester"}:
                found[short] = _entity("Person", str(value))
            elif short == "approvers" and isinstance(value, tuple):
                found[short] = [_entity("Person", one) for one in value]
            else:
                found[short] = list(value) if isinstance(value, tuple) else value
    return found


def _uid(kind: str, name: str) -> dict[str, str]:
    return {"type": f"Taskbound::{kind}", "id": f"n/{name}"}


def _action(name: str) -> dict[str, str]:
    return {"type": "Taskbound::Action", "id": name}


def _entity(kind: str, name: str) -> dict[str, Any]:
    return {"__entity": json.loads(json.dumps(_uid(kind, name)))}
