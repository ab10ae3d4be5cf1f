"""Cases: calls that a person wrote down beside the rules, each with what the rules should answer.

1. A case says who, which tool, which arguments and what is expected; a fact that it does not
   give is that of an ordinary first call that a grant covers, by a tool as it is pinned. A case may say under
   which scope: then it is looked at as well, as far as its first step.
2. A member that no case has refuses: a misspelt `expcet` would expect nothing.
3. What is expected is compared in full where it says more: lifters, the code, the policies.
4. Two cases of a file never have the same name.
5. A case with `operation` is about an operation of our own API (`operation_case`), any other about a call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.policy.answer import FACTS, Fact, PolicyRequest
from taskbound.core.policy.case_parts import (
    OUTSIDE,
    BadCaseError,
    expectation_of,
    fact_of,
    object_of,
    text_of,
)
from taskbound.core.policy.operation_case import OperationCase, parse_operation_case
from taskbound.core.scope import ScopeSyntaxError, parse_scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.policy.answer import PolicyTool
    from taskbound.core.policy.case_parts import Expectation
    from taskbound.core.scope import Scope


_MOST: Final = 10_000
_MEMBERS: Final = frozenset({"name", "namespace", "agent", "tool", "arguments", "facts", "scope", "expect"})
_ORDINARY: Final[Mapping[str, Fact]] = {
    "attempt": 1,
    "changed": (),
    "check_found": (),
    "checked": "",
    "covered": True,
    "credential_life": 0,
    "flags": (),
    "last_action": "",
    "last_age": 0,
    "last_outcome": "none",
    "operands": (),
    "proof": "",
    "risk": "low",
    "agent.approvers": (),
    "agent.owner": "",
    "task.age": 0,
    "task.depth": 0,
    "task.evidence": (),
    "task.learning": False,
    "task.proven": (),
    "task.purpose": "",
    "task.remaining": 3600,
    "task.requester": "",
    "task.unproven": (),
}
"""The facts of an ordinary first call, but for those of agent and tool (rule 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCase:
    """One case."""

    name: str
    namespace: str
    agent: str
    tool: str
    arguments: Mapping[str, JsonValue]
    facts: Mapping[str, Fact]
    scope: Scope | None
    """Under which it is asked, when the case says so."""
    expect: Expectation
    where: str
    """Its place in the file."""


def request_of(case: PolicyCase, tool: PolicyTool) -> PolicyRequest:
    """What the rules are asked for a case, about this tool (rule 1)."""
    own: dict[str, Fact] = {
        "agent.name": case.agent,
        "agent.namespace": case.namespace,
        "effect": tool.effect,
        "idempotent": tool.idempotent,
        "tool.effect": tool.effect,
        "tool.name": tool.name,
        "tool.open_world": tool.open_world,
        "tool.server": tool.server,
    }
    facts = {**_ORDINARY, **own, **case.facts}
    if "effect" in case.facts and "tool.effect" not in case.facts:
        facts["tool.effect"] = facts["effect"]
    return PolicyRequest(
        namespace=case.namespace,
        agent=case.agent,
        tool=case.tool,
        server=tool.server,
        task="case",
        arguments=case.arguments,
        definition=tool.definition,
        schema=tool.schema,
        facts=facts,
    )


def parse_cases(value: JsonValue) -> tuple[PolicyCase | OperationCase, ...]:
    """The cases that the value of a file holds.

    Raises:
        BadCaseError: It holds something else; `where` is the place in it.
    """
    file = object_of(value, "", frozenset({"cases"}))
    listed = file.get("cases")
    if not isinstance(listed, list) or not listed or len(listed) > _MOST:
        raise BadCaseError(f"a file of cases has `cases`, a list of 1 to {_MOST}", where="cases")
    found: list[PolicyCase | OperationCase] = []
    names: set[str] = set()
    for number, one in enumerate(listed):
        where = f"cases[{number}]"
        about_operation = isinstance(one, dict) and "operation" in one  # 5
        case = parse_operation_case(one, where) if about_operation else _case(one, where)
        if case.name in names:
            raise BadCaseError(f"two cases are named `{case.name}`", where=f"{case.where}.name")  # 4
        names.add(case.name)
        found.append(case)
    return tuple(found)


def _case(value: JsonValue, where: str) -> PolicyCase:
    told = object_of(value, where, _MEMBERS)
    for name in ("name", "agent", "tool", "expect"):
        if name not in told:
            raise BadCaseError(f"a case has `{name}`", where=where)
    arguments = told.get("arguments", {})
    facts = told.get("facts", {})
    if not isinstance(arguments, dict):
        raise BadCaseError("`arguments` is an object", where=f"{where}.arguments")
    if not isinstance(facts, dict):
        raise BadCaseError("`facts` is an object", where=f"{where}.facts")
    scope = _scope(told["scope"], f"{where}.scope") if "scope" in told else None
    expect = expectation_of(told["expect"], f"{where}.expect")
    if expect.code == OUTSIDE and scope is None:
        raise BadCaseError("a case without `scope` is inside of it", where=f"{where}.expect.refuse")
    return PolicyCase(
        name=text_of(told["name"], f"{where}.name"),
        namespace=text_of(told.get("namespace", "default"), f"{where}.namespace"),
        agent=text_of(told["agent"], f"{where}.agent"),
        tool=text_of(told["tool"], f"{where}.tool"),
        arguments=arguments,
        facts={name: fact_of(name, one, f"{where}.facts", FACTS) for name, one in facts.items()},
        scope=scope,
        expect=expect,
        where=where,
    )


def _scope(value: JsonValue, where: str) -> Scope:
    try:
        return parse_scope(value)
    except ScopeSyntaxError as error:
        raise BadCaseError(error.message, where=f"{where}.{error.where}" if error.where else where) from error
