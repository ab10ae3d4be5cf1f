"""Cases: calls that a person wrote down beside the rules, each with what the rules should answer.

1. A case says who, which tool, which arguments and what is expected; a fact that it does not
   give is that of an ordinary first call that a grant covers, by a tool as it is pinned. A case may say under
   which scope: then it is looked at as well, as far as its first step.
2. A member that no case has refuses: a misspelt `expcet` would expect nothing.
3. What is expected is compared in full where it says more: lifters, the code, the policies.
4. Two cases of a file never have the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import MalformedError
from taskbound.core.policy.answer import (
    FACTS,
    Fact,
    FactKind,
    Forbidden,
    Held,
    Permitted,
    PolicyRequest,
)
from taskbound.core.scope import ScopeSyntaxError, parse_scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.policy.answer import PolicyConclusion, PolicyTool
    from taskbound.core.scope import Scope

__all__ = ["BadCaseError", "Expectation", "PolicyCase", "parse_cases", "request_of", "words_of"]

_MOST: Final = 10_000
_NAME: Final = 200
_MEMBERS: Final = frozenset({"name", "namespace", "agent", "tool", "arguments", "facts", "scope", "expect"})
_EXPECTED: Final = frozenset({"permit", "hold", "refuse", "policies"})
_OUTSIDE: Final = "outside-scope"
_CODES: Final = ("forbidden", "not-permitted", "policy-erred", "unmapped-argument", _OUTSIDE)
_ORDINARY: Final[Mapping[str, Fact]] = {
    "attempt": 1,
    "changed": (),
    "check_found": (),
    "checked": "",
    "covered": True,
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


class BadCaseError(MalformedError):
    """A case that can't be read as one."""

    code = "bad-case"
    remedy = "write it as docs/guides/policies.md does"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a case expects."""

    decision: str
    """`permit`, `hold` or `refuse`."""
    lifters: tuple[str, ...] = ()
    """All lifters of a hold; none means any."""
    code: str = ""
    """The code of a refusal; empty means any."""
    policies: tuple[str, ...] = ()
    """The policies that decided; none means any."""

    def missed(self, found: PolicyConclusion) -> str:
        """How a conclusion is not what was expected (rule 3); empty when it is."""
        decision, more = self._compared(found)
        if decision != self.decision:
            return f"it is {words_of(found)}"
        if self.policies and self.policies != tuple(sorted(found.policies)):
            return more or f"it was decided by {', '.join(sorted(found.policies)) or 'no policy'}"
        return more

    def _compared(self, found: PolicyConclusion) -> tuple[str, str]:
        match found:
            case Permitted():
                return "permit", ""
            case Held(lifters=lifters):
                same = self.lifters in {(), lifters}
                return "hold", "" if same else f"it is lifted by {', '.join(lifters)}"
            case Forbidden(code=code):
                return "refuse", "" if self.code in {"", code} else f"its code is {code}"


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


def words_of(found: PolicyConclusion) -> str:
    """A conclusion in words."""
    match found:
        case Permitted(policies=policies):
            return f"permit ({', '.join(policies)})"
        case Held(policies=policies, lifters=lifters):
            return f"hold, lifted by {', '.join(lifters)} ({', '.join(policies)})"
        case Forbidden(code=code, policies=policies, details=details):
            more = "; ".join(details)
            named = f" ({', '.join(policies)})" if policies else ""
            return f"refuse, {code}{named}{f': {more}' if more else ''}"


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


def parse_cases(value: JsonValue) -> tuple[PolicyCase, ...]:
    """The cases that the value of a file holds.

    Raises:
        BadCaseError: It holds something else; `where` is the place in it.
    """
    file = _object(value, "", frozenset({"cases"}))
    listed = file.get("cases")
    if not isinstance(listed, list) or not listed or len(listed) > _MOST:
        raise BadCaseError(f"a file of cases has `cases`, a list of 1 to {_MOST}", where="cases")
    found: list[PolicyCase] = []
    names: set[str] = set()
    for number, one in enumerate(listed):
        case = _case(one, f"cases[{number}]")
        if case.name in names:
            raise BadCaseError(f"two cases are named `{case.name}`", where=f"{case.where}.name")  # 4
        names.add(case.name)
        found.append(case)
    return tuple(found)


def _case(value: JsonValue, where: str) -> PolicyCase:
    told = _object(value, where, _MEMBERS)
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
    expect = _expectation(told["expect"], f"{where}.expect")
    if expect.code == _OUTSIDE and scope is None:
        raise BadCaseError("a case without `scope` is inside of it", where=f"{where}.expect.refuse")
    return PolicyCase(
        name=_text(told["name"], f"{where}.name"),
        namespace=_text(told.get("namespace", "default"), f"{where}.namespace"),
        agent=_text(told["agent"], f"{where}.agent"),
        tool=_text(told["tool"], f"{where}.tool"),
        arguments=arguments,
        facts={name: _fact(name, one, f"{where}.facts") for name, one in facts.items()},
        scope=scope,
        expect=expect,
        where=where,
    )


def _scope(value: JsonValue, where: str) -> Scope:
    try:
        return parse_scope(value)
    except ScopeSyntaxError as error:
        raise BadCaseError(error.message, where=f"{where}.{error.where}" if error.where else where) from error


def _expectation(value: JsonValue, where: str) -> Expectation:
    told: dict[str, JsonValue] = {value: None} if isinstance(value, str) else _object(value, where, _EXPECTED)
    decisions = [name for name in ("permit", "hold", "refuse") if name in told]
    if len(decisions) != 1:
        raise BadCaseError("a case expects one of `permit`, `hold` and `refuse`", where=where)
    decision, more = decisions[0], told[decisions[0]]
    place = f"{where}.{decision}"
    if decision == "refuse" and more is not None and more not in _CODES:
        raise BadCaseError(f"a call is refused with one of {', '.join(_CODES)}", where=place)
    if decision == "permit" and more is not None:
        raise BadCaseError("a permit has no more to say; name its policies in `policies`", where=place)
    return Expectation(
        decision=decision,
        lifters=_texts(more, place) if decision == "hold" and more is not None else (),
        code=str(more) if decision == "refuse" and more is not None else "",
        policies=_texts(told["policies"], f"{where}.policies") if "policies" in told else (),
    )


def _fact(name: str, value: JsonValue, where: str) -> Fact:
    kind = FACTS.get(name)
    place = f"{where}.{name}" if "." not in name else f'{where}["{name}"]'
    if kind is None:
        raise BadCaseError(f"no fact is named `{name}`", where=place, remedy=f"use one of {', '.join(FACTS)}")
    match kind, value:
        case FactKind.TRUTH, bool():
            return value
        case FactKind.NUMBER, int() if not isinstance(value, bool):
            return value
        case ((FactKind.TEXT | FactKind.PERSON), str()):
            return value
        case ((FactKind.TEXTS | FactKind.PERSONS), list()):
            return _texts(value, place)
        case _:
            raise BadCaseError(f"`{name}` is not {_KINDS[kind]}", where=place)


_KINDS: Final[Mapping[FactKind, str]] = {
    FactKind.TRUTH: "true or false",
    FactKind.NUMBER: "a whole number",
    FactKind.TEXT: "a text",
    FactKind.PERSON: "a text",
    FactKind.TEXTS: "a list of texts",
    FactKind.PERSONS: "a list of texts",
}


def _object(value: JsonValue, where: str, members: frozenset[str]) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise BadCaseError("an object belongs here", where=where)
    for name in value:
        if name not in members:  # 2
            place = f"{where}.{name}" if where else name
            raise BadCaseError(
                f"nothing here is named `{name}`", where=place, remedy=f"use {', '.join(sorted(members))}"
            )
    return value


def _text(value: JsonValue, where: str) -> str:
    if not isinstance(value, str) or not value or len(value) > _NAME or not value.isprintable():
        raise BadCaseError(f"a text of 1 to {_NAME} characters that can be shown belongs here", where=where)
    return value


def _texts(value: JsonValue, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        if value == []:
            return ()
        raise BadCaseError("a list of texts belongs here", where=where)
    return tuple(sorted({_text(one, f"{where}[{number}]") for number, one in enumerate(value)}))
