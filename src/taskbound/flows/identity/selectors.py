"""Selectors of agents: added, removed, and never two agents' by one credential.

1. The agent's owner adds and removes them, and the account that owns the data directory.
2. Whether a new one meets another agent's is seen in the transaction that writes it, which is alone among
   those that write any, on whatever machine they run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit.events.workload import SelectorAdded, SelectorRemoved
from taskbound.core.identity import NotOwnerError, UnknownIdentityError
from taskbound.core.identity.oidc import IssuerUse, UnknownIdentityIssuerError
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.selector import UnknownSelectorError, require_apart, selector_id
from taskbound.flows.identity.person import IdentityExistsError

if TYPE_CHECKING:
    from taskbound.core.identity.selector import Selector
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


def add_selector(means: Means, selector: Selector, *, actor: Actor, owns: bool) -> str:
    """Have a credential that says this prove its agent; the selector's id.

    Raises:
        UnknownIdentityError: There is no such agent.
        NotOwnerError: Rule 1.
        IdentityExistsError: It has this selector.
        UnknownIdentityIssuerError: Nobody's word proves workloads here under that name.
        SelectorOverlapError: One credential could be another agent's too (rule 2).
    """
    name = selector_id(selector)

    def work(tx: Transaction) -> None:
        known = tx.workloads.selectors(selector.namespace)  # 2
        _require_owner(tx, selector.namespace, selector.agent, actor, owns=owns)
        if any(one.agent == selector.agent and selector_id(one) == name for one in known):
            raise IdentityExistsError(f"agent `{selector.agent}` has this selector: `{name}`")
        _require_issuer(tx, selector)
        require_apart(selector, known)
        tx.workloads.put_selector(selector)
        event = SelectorAdded(
            agent=selector.agent,
            selector=name,
            form=selector.kind.value,
            issuer=selector.issuer,
            subjects=selector.subjects,
            claims=tuple(f"{pointer}={text}" for pointer, texts in selector.claims for text in texts),
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(selector.namespace, means.writer, [event], means.clock.now())

    means.store.write(work)
    return name


def drop_selector(means: Means, namespace: str, agent: str, name: str, *, actor: Actor, owns: bool) -> None:
    """Have such a credential prove the agent no more.

    Raises:
        UnknownIdentityError: There is no such agent.
        NotOwnerError: Rule 1.
        UnknownSelectorError: It has no such selector.
    """

    def work(tx: Transaction) -> None:
        known = tx.workloads.selectors(namespace)
        _require_owner(tx, namespace, agent, actor, owns=owns)
        if not any(one.agent == agent and selector_id(one) == name for one in known):
            raise UnknownSelectorError(f"agent `{agent}` has no such selector")
        tx.workloads.drop_selector(namespace, name)
        event = SelectorRemoved(agent=agent, selector=name, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, means.writer, [event], means.clock.now())

    means.store.write(work)


def _require_owner(tx: Transaction, namespace: str, name: str, actor: Actor, *, owns: bool) -> None:
    agent = tx.identities.agent(namespace, name)
    if agent is None:
        raise UnknownIdentityError(f"no agent is named `{name}`")
    if agent.owner != actor.name and not owns:
        raise NotOwnerError(
            f"only the owner of agent `{name}` says what proves it, and that is `{agent.owner}`"
        )  # 1


def _require_issuer(tx: Transaction, selector: Selector) -> None:
    """Go on only with an issuer that there is: who adds one later would be whom others had meant."""
    if selector.kind is not WorkloadKind.OIDC:
        return
    known = tx.workloads.identity_issuers(selector.namespace)
    if not any((one.name, one.use) == (selector.issuer, IssuerUse.WORKLOADS) for one in known):
        raise UnknownIdentityIssuerError(f"no issuer of workloads is named `{selector.issuer}`")
