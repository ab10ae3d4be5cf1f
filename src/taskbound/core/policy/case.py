"""Test cases of policies, for calls and for operations of the API, and their reader.

1. A case names agent, tool, arguments and the expected answer. A missing fact has the value of an ordinary
   first call of a pinned tool that a grant covers. A given scope is judged too, in its first step.
2. An unknown member is refused: a misspelt `expcet` would expect nothing.
3. Lifters, code and policies are compared completely if given.
4. Names of cases are unique in a file.
5. A case with `operation` is about an API operation: the principal is `person:NAME`, `agent:NAME` or
   `service:NAME`, `about` and `above` are `Agent:NAME` and the like, missing facts are empty except the name
   in `about`. It cannot expect a hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.identity.person import PeerProof
from taskbound.core.identity.proof import Principal, PrincipalKind
from taskbound.core.policy.answer import FACTS, Fact, FactKind, Forbidden, Held, Permitted, PolicyRequest
from taskbound.core.policy.operation import OPERATION_FACTS, About, OperationRequest, Resource
from taskbound.core.policy.operations import OPERATIONS
from taskbound.core.scope import ScopeSyntaxError, parse_scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.policy.answer import PolicyConclusion, PolicyTool
    from taskbound.core.scope import Scope


OUTSIDE: Final = "outside-scope"
_NAME: Final = 200
_EXPECTED: Final = frozenset({"permit", "hold", "refuse", "policies"})
_CODES: Final = ("forbidden", "not-permitted", "policy-erred", "unmapped-argument", OUTSIDE)


class BadCaseError(MalformedError):
    """The test case is not valid."""

    code = "bad-case"
    remedy = "write it as docs/guides/policies.md does"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """The expected answer of a case."""

    decision: str
    """`permit`, `hold` or `refuse`."""
    lifters: tuple[str, ...] = ()
    """All lifters of a hold; none means any."""
    code: str = ""
    """The code of a refusal; empty means any."""
    policies: tuple[str, ...] = ()
    """The policies that decided; none means any."""

    def missed(self, found: PolicyConclusion) -> str:
        """Returns how the conclusion differs from the expected one (rule 3); empty if it does not."""
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


def words_of(found: PolicyConclusion) -> str:
    match found:
        case Permitted(policies=policies):
            return f"permit ({', '.join(policies)})"
        case Held(policies=policies, lifters=lifters):
            return f"hold, lifted by {', '.join(lifters)} ({', '.join(policies)})"
        case Forbidden(code=code, policies=policies, details=details):
            more = "; ".join(details)
            named = f" ({', '.join(policies)})" if policies else ""
            return f"refuse, {code}{named}{f': {more}' if more else ''}"


def expectation_of(value: JsonValue, where: str) -> Expectation:
    told: dict[str, JsonValue] = (
        {value: None} if isinstance(value, str) else object_of(value, where, _EXPECTED)
    )
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
        lifters=texts_of(more, place) if decision == "hold" and more is not None else (),
        code=str(more) if decision == "refuse" and more is not None else "",
        policies=texts_of(told["policies"], f"{where}.policies") if "policies" in told else (),
    )


def fact_of(name: str, value: JsonValue, where: str, facts: Mapping[str, FactKind]) -> Fact:
    kind = facts.get(name)
    place = f"{where}.{name}" if "." not in name else f'{where}["{name}"]'
    if kind is None:
        raise BadCaseError(f"no fact is named `{name}`", where=place, remedy=f"use one of {', '.join(facts)}")
    match kind, value:
        case FactKind.TRUTH, bool():
            return value
        case FactKind.NUMBER, int() if not isinstance(value, bool):
            return value
        case ((FactKind.TEXT | FactKind.PERSON), str()):
            return value
        case ((FactKind.TEXTS | FactKind.PERSONS), list()):
            return texts_of(value, place)
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


def object_of(value: JsonValue, where: str, members: frozenset[str]) -> dict[str, JsonValue]:
    """Reads an object with only these members; raises BadCaseError for another one (rule 2)."""
    if not isinstance(value, dict):
        raise BadCaseError("an object belongs here", where=where)
    for name in value:
        if name not in members:
            place = f"{where}.{name}" if where else name
            raise BadCaseError(
                f"nothing here is named `{name}`", where=place, remedy=f"use {', '.join(sorted(members))}"
            )
    return value


def text_of(value: JsonValue, where: str) -> str:
    if not isinstance(value, str) or not value or len(value) > _NAME or not value.isprintable():
        raise BadCaseError(f"a text of 1 to {_NAME} characters that can be shown belongs here", where=where)
    return value


def texts_of(value: JsonValue, where: str) -> tuple[str, ...]:
    """Reads a list of distinct printable texts and sorts it; raises BadCaseError."""
    if not isinstance(value, list) or not value:
        if value == []:
            return ()
        raise BadCaseError("a list of texts belongs here", where=where)
    return tuple(sorted({text_of(one, f"{where}[{number}]") for number, one in enumerate(value)}))


_MEMBERS: Final = frozenset(
    {"name", "namespace", "operation", "principal", "groups", "about", "above", "facts", "expect"}
)
_NAMED: Final = {About.AGENT: "agent", About.TOOL: "tool"}
_OPERATION_CASE_KINDS: Final = {one.value.lower(): one for one in PrincipalKind}
_ABOUTS: Final = {one.value: one for one in About}


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationCase:
    """A case about an API operation."""

    name: str
    request: OperationRequest
    """What the rules are asked."""
    expect: Expectation
    where: str
    """Its place in the file."""


def empty_fact(kind: FactKind) -> Fact:
    """Returns the empty value of this type, for what does not exist or was not given."""
    match kind:
        case FactKind.TRUTH:
            return False
        case FactKind.NUMBER:
            return 0
        case FactKind.TEXTS | FactKind.PERSONS:
            return ()
        case FactKind.TEXT | FactKind.PERSON:
            return ""


def parse_operation_case(value: JsonValue, where: str) -> OperationCase:
    """Reads a case about an operation; raises BadCaseError with the place."""
    told = object_of(value, where, _MEMBERS)  # 2
    for name in ("name", "principal", "expect"):
        if name not in told:
            raise BadCaseError(f"a case about an operation has `{name}`", where=where)
    name = text_of(told["operation"], f"{where}.operation")
    operation = OPERATIONS.get(name)
    if operation is None:
        raise BadCaseError(
            f"no operation is named `{name}`",
            where=f"{where}.operation",
            remedy="name one of docs/reference/operations.md",
        )
    about = text_of(told["about"], f"{where}.about") if "about" in told else ""
    kinds = {one: OPERATION_FACTS[one] for one in operation.facts}
    facts: dict[str, Fact] = {one: empty_fact(kind) for one, kind in kinds.items()}
    facts |= {_NAMED[operation.about]: about} if operation.about in _NAMED else {}  # 5
    given = told.get("facts", {})
    if not isinstance(given, dict):
        raise BadCaseError("`facts` is an object", where=f"{where}.facts")
    facts |= {one: fact_of(one, fact, f"{where}.facts", kinds) for one, fact in given.items()}
    expect = expectation_of(told["expect"], f"{where}.expect")
    if expect.decision == "hold":
        raise BadCaseError(
            "no operation is held", where=f"{where}.expect", remedy="expect `permit` or `refuse`"
        )
    return OperationCase(
        name=text_of(told["name"], f"{where}.name"),
        request=OperationRequest(
            principal=_principal(told, where),
            groups=texts_of(told.get("groups", []), f"{where}.groups"),
            operation=operation,
            resource=Resource(about=operation.about, name=about, above=_above(told.get("above", []), where)),
            facts=facts,
        ),
        expect=expect,
        where=where,
    )


def _principal(told: dict[str, JsonValue], where: str) -> Principal:
    kind, _, name = text_of(told["principal"], f"{where}.principal").partition(":")
    if kind not in _OPERATION_CASE_KINDS or not name:
        raise BadCaseError(
            "a principal is `person:NAME`, `agent:NAME` or `service:NAME`", where=f"{where}.principal"
        )
    return Principal(
        kind=_OPERATION_CASE_KINDS[kind],
        namespace=text_of(told.get("namespace", "default"), f"{where}.namespace"),
        name=name,
        proof=PeerProof(uid=0, pid=0, started=0),
    )


def _above(value: JsonValue, where: str) -> tuple[tuple[About, str], ...]:
    found: list[tuple[About, str]] = []
    for one in texts_of(value, f"{where}.above"):
        kind, _, name = one.partition(":")
        if kind not in _ABOUTS or not name:
            raise BadCaseError(
                f"`{one}` is nothing that stands above",
                where=f"{where}.above",
                remedy="write `Agent:NAME` or the like",
            )
        found.append((_ABOUTS[kind], name))
    return tuple(found)


_MOST: Final = 10_000
_CASE_MEMBERS: Final = frozenset(
    {"name", "namespace", "agent", "tool", "arguments", "facts", "scope", "expect"}
)
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
    """A case about a call."""

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
    """Returns the engine's request for a case about this tool (rule 1)."""
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
    """Reads the cases of a file; raises BadCaseError with the place."""
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
    told = object_of(value, where, _CASE_MEMBERS)
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
