"""Cases about operations of our own API: who asks for which about what, and what the rules should answer.

1. A case names the operation, and the principal as `person:NAME`, `agent:NAME` or `service:NAME`; `groups`
   are those that a person is in.
2. `about` names what it is about and `above` what stands above that, as `Agent:NAME`. A fact that it does
   not give is empty, but the name of the agent or tool that it is about.
3. A member that no such case has refuses. Nothing lifts the refusal of an operation, so that none expects a
   hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.identity.person import PeerProof
from taskbound.core.identity.proof import Principal, PrincipalKind
from taskbound.core.policy.answer import FactKind
from taskbound.core.policy.case_parts import (
    BadCaseError,
    Expectation,
    expectation_of,
    fact_of,
    object_of,
    text_of,
    texts_of,
)
from taskbound.core.policy.operation import OperationRequest, Resource
from taskbound.core.policy.operation_facts import OPERATION_FACTS, About
from taskbound.core.policy.operations import OPERATIONS

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.policy.answer import Fact


_MEMBERS: Final = frozenset(
    {"name", "namespace", "operation", "principal", "groups", "about", "above", "facts", "expect"}
)
_NAMED: Final = {About.AGENT: "agent", About.TOOL: "tool"}
_KINDS: Final = {one.value.lower(): one for one in PrincipalKind}
_ABOUTS: Final = {one.value: one for one in About}


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationCase:
    """One case."""

    name: str
    request: OperationRequest
    """What the rules are asked."""
    expect: Expectation
    where: str
    """Its place in the file."""


def empty_fact(kind: FactKind) -> Fact:
    """The fact of something that does not exist, or was not said."""
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
    """The case that a member of a file's list is.

    Raises:
        BadCaseError: It is none; `where` is the place in it.
    """
    told = object_of(value, where, _MEMBERS)  # 3
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
    facts |= {_NAMED[operation.about]: about} if operation.about in _NAMED else {}  # 2
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
    if kind not in _KINDS or not name:
        raise BadCaseError(
            "a principal is `person:NAME`, `agent:NAME` or `service:NAME`", where=f"{where}.principal"
        )
    return Principal(
        kind=_KINDS[kind],
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
