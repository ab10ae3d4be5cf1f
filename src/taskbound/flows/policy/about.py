"""The resource of an operation and the person's sign-in, as policies read them."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.identity.proof import AccountProof, PrincipalKind, TokenProof
from taskbound.core.policy.case import empty_fact
from taskbound.core.policy.operation import FOUND, OPERATION_FACTS, About, SignIn
from taskbound.core.token import NEVER, TokenForm
from taskbound.flows.approval.plan import see_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.identity.proof import Principal
    from taskbound.core.policy import Fact
    from taskbound.flows.means import Adapters
    from taskbound.ports.store import Snapshot


Above: TypeAlias = "tuple[tuple[About, str], ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResource:
    """The resource of an operation, as stored."""

    name: str
    above: tuple[tuple[About, str], ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)


def look_up(snapshot: Snapshot, namespace: str, about: About, name: str) -> StoredResource:
    seen = _look(snapshot, namespace, about, name) if name else StoredResource(name=name)
    nothing: dict[str, Fact] = {one: empty_fact(OPERATION_FACTS[one]) for one in FOUND[about]}
    return StoredResource(name=seen.name, above=seen.above, facts={**nothing, **seen.facts})


def _look(snapshot: Snapshot, namespace: str, about: About, name: str) -> StoredResource:  # noqa: PLR0911 -- one a kind
    match about:
        case About.TASK:
            above, facts = _of_task(snapshot, namespace, name)
            return StoredResource(name=name, above=above, facts=facts)
        case About.AGENT:
            return StoredResource(name=name, facts=_agent(snapshot, namespace, name))
        case About.CALL:
            return _call(snapshot, namespace, name)
        case About.APPROVAL | About.PLAN | About.AMENDMENT:
            return _question(snapshot, namespace, name)
        case About.TOOL:
            return _tool(snapshot, namespace, name)
        case About.PERSON:
            return StoredResource(name=name, above=_groups(snapshot, namespace, name))
        case About.PERSON_KEY:
            key = snapshot.identities.person_key(namespace, name)
            if key is None:
                return StoredResource(name=name)
            above = ((About.PERSON, key.person), *_groups(snapshot, namespace, key.person))
            return StoredResource(name=name, above=above, facts={"person": key.person})
        case About.SERVICE:
            service = snapshot.services.service(namespace, name)
            return StoredResource(name=name, facts={} if service is None else {"owner": service.owner})
        case About.BUNDLE:
            bundle = snapshot.policy.bundle(namespace, name)
            return StoredResource(name=name, facts={} if bundle is None else {"author": bundle.author})
        case About.NAMESPACE | About.CLIENT | About.GROUP | About.ISSUER | About.SERVER | About.TEMPLATE:
            return StoredResource(name=name)


def _groups(snapshot: Snapshot, namespace: str, person: str) -> Above:
    return tuple(
        (About.GROUP, one.name) for one in snapshot.identities.groups(namespace) if person in one.everyone
    )


def _agent(snapshot: Snapshot, namespace: str, name: str) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"agent": name}
    agent = snapshot.identities.agent(namespace, name)
    if agent is not None:
        facts |= {"owner": agent.owner, "approvers": agent.approvers}
    return facts


def _of_task(
    snapshot: Snapshot, namespace: str, name: str
) -> tuple[tuple[tuple[About, str], ...], dict[str, Fact]]:
    task = snapshot.tasks.task(namespace, name)
    if task is None:
        return (), {}
    facts = _agent(snapshot, namespace, task.agent)
    facts |= {"requester": task.requester, "purpose": task.purpose}
    return ((About.AGENT, task.agent),), facts


def _call(snapshot: Snapshot, namespace: str, name: str) -> StoredResource:
    action = snapshot.actions.action(namespace, name)
    if action is None:
        return StoredResource(name=name)
    above, facts = _of_task(snapshot, namespace, action.task)
    facts.pop("purpose", None)
    return StoredResource(
        name=name,
        above=(*above, (About.TASK, action.task), *_of_tools(snapshot, namespace, action.tool)),
        facts={**facts, "tool": action.tool},
    )


def _question(snapshot: Snapshot, namespace: str, name: str) -> StoredResource:
    approvals = snapshot.approvals
    approval = approvals.approval(namespace, name) or approvals.approval_of(namespace, name)
    if approval is not None:
        found = _call(snapshot, namespace, approval.question.action)
        return StoredResource(name=approval.question.id, above=found.above, facts=found.facts)
    plan = approvals.plan(namespace, name)
    amendment = snapshot.amendments.amendment(namespace, name) if plan is None else None
    task = plan.plan.task if plan is not None else amendment.question.task if amendment is not None else ""
    above, facts = _of_task(snapshot, namespace, task) if task else ((), {})
    facts.pop("purpose", None)
    steps = () if plan is None else see_whole(snapshot, plan).steps
    tools = _of_tools(snapshot, namespace, *(one.question.tool for one in steps))
    return StoredResource(
        name=name, above=(*above, *(((About.TASK, task),) if task else ()), *tools), facts=facts
    )


def _of_tools(snapshot: Snapshot, namespace: str, *tools: str) -> Above:
    found = dict.fromkeys((About.TOOL, one) for one in tools)
    found |= dict.fromkeys((About.SERVER, _server(snapshot, namespace, one)) for one in tools)
    return tuple(found)


def _server(snapshot: Snapshot, namespace: str, name: str) -> str:
    tool = snapshot.tools.tool(namespace, name)
    return name.partition("__")[0] if tool is None else tool.server


def _tool(snapshot: Snapshot, namespace: str, name: str) -> StoredResource:
    tool, server = snapshot.tools.tool(namespace, name), _server(snapshot, namespace, name)
    facts: dict[str, Fact] = {"tool": name, "server": server}
    if tool is not None:
        facts["owner"] = tool.owner
    return StoredResource(name=name, above=((About.SERVER, server),), facts=facts)


def sign_in_of(adapters: Adapters, principal: Principal) -> SignIn | None:
    """Returns a person's sign-in as far as their proof shows it, else None."""
    proof = principal.proof
    if principal.kind is not PrincipalKind.PERSON:
        return None
    if isinstance(proof, AccountProof):
        return SignIn(acr=proof.acr, at=proof.authenticated)
    if not isinstance(proof, TokenProof):
        return None
    with adapters.store.read() as snapshot:
        row = snapshot.tokens.token(principal.namespace, proof.token)
    if row is None or row.form is not TokenForm.PERSON or row.authenticated == NEVER:
        return None
    return SignIn(acr=row.acr, at=row.authenticated)
