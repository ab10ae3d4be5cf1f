"""Settling a group of evaluated calls in one transaction: locked, judged by what is locked, written.

1. Locks are taken in one order, whoever takes them (design 4.8): services that ask in their own names (with
   their keys and owners), kill switch, bundle, agents, tools, tasks,
   remainders, presentations, acts, issuers where policy read of evidence, tokens that were shown, with their
   keys and what let their clients in, then plans, questions, people, credentials, and a target last.
2. A credential that is to be renewed is looked at with the first of these, to be locked in its turn.
3. A person's narrower action is settled here like any call: there is no other place where one is decided.
4. Nothing is decided over a log that the signer has not confirmed within the bound (`flows.audit.freshness`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant
from taskbound.core.decision import Evaluated, Holding, Locked, presentation_names, settle
from taskbound.flows.approval import as_held, look_at_holds
from taskbound.flows.credential.journaling import journal_credentials
from taskbound.flows.credential.prolonging import lock_renewable, prolong_credentials, see_renewable
from taskbound.flows.decision.enforcing import lock_enforcing
from taskbound.flows.decision.tokens import bar_tokens
from taskbound.flows.decision.writing import write_settlement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.decision import Proposal, Settlement
    from taskbound.flows.decision.doubts import Doubts
    from taskbound.flows.decision.views import Views
    from taskbound.flows.decision.writing import Pending
    from taskbound.flows.means import Means
    from taskbound.flows.policy.engines import Policies
    from taskbound.ports.store import Transaction


PERMIT_LIFE: Final = 30_000_000
"""µs that a permit may wait to be used (law 2: for seconds)."""


def settle_group(
    tx: Transaction, means: Means, views: Views, namespace: str, group: Sequence[Pending]
) -> Settlement:
    """An answer for each of these calls of one namespace, written with its record.

    Raises:
        LogUnconfirmedError: The signer has not confirmed the log within the bound (rule 4).
    """
    enforcing = lock_enforcing(tx, namespace, group)
    locked = lock_group(tx, namespace, [one.proposal for one in group], means.policy, views.doubts)
    means.freshness.require()  # 4: after the locks, however long they were waited for
    now = means.clock.now()
    proposals = as_held(tx, namespace, bar_tokens(tx, namespace, group, enforcing, now))
    holds = look_at_holds(tx, means, proposals, locked.bundle, views.doubts.lost(), now)
    if holds is not None:
        locked = replace(locked, places=holds.places)
    if locked.credentials:
        locked = replace(locked, credentials=lock_renewable(tx, namespace, _renewed(proposals)))
    settlement = settle(proposals, locked, now=now, until=Instant(now + PERMIT_LIFE))
    minted = write_settlement(tx, means, group, settlement, holds, now)
    fresh = [one for one in minted if not one.life.renews]
    if fresh:
        journal_credentials(tx, means, fresh, locked.tasks, now)
    if len(fresh) < len(minted):
        renewed = [one for one in minted if one.life.renews]
        prolong_credentials(tx, means, renewed, locked.tasks, now)
    views.doubts.granted((namespace, one.permitted) for one in group if one.permitted)
    return settlement


def lock_group(
    tx: Transaction,
    namespace: str,
    proposals: Sequence[Proposal],
    policies: Policies,
    doubts: Doubts,
) -> Locked:
    """Everything that these proposals need, read under lock, always in the same order."""
    tasks = {one.action.task for one in proposals if one.action.task}
    names = {name for one in proposals for name in presentation_names(one)}
    acts = {(one.root, one.action.act_key) for one in proposals}
    agents = {
        name for one in proposals for name in (one.action.agent, *(name for name, _ in one.basis.agents))
    }
    paying = tasks | {task for one in proposals for task in _above(one)}
    vouched = any(one.basis.issuers is not None for one in proposals)
    return Locked(
        switch=tx.revocation.lock_kill_switch(namespace),
        bundle=policies.digest_of(tx.policy.lock_in_force(namespace)),
        agents=tx.identities.lock_agents(namespace, agents),
        tools=tx.tools.lock_tools(namespace, {one.action.tool for one in proposals}),
        tasks=tx.tasks.lock_heads(namespace, tasks),
        left=tx.tasks.lock_remainders(namespace, paying),
        priors=tx.actions.lock_priors(namespace, names),
        acts=tx.actions.lock_acts(namespace, acts),
        doubted=doubts.acts(tx, namespace),
        issuers=tx.identities.lock_issuers(namespace) if vouched else (),
        credentials=see_renewable(tx, namespace, _renewed(proposals)),
    )


def _renewed(proposals: Sequence[Proposal]) -> set[str]:
    """Ids of the credentials that these would renew."""
    return {one.life.renews for one in proposals if one.life is not None and one.life.renews}


def _above(proposal: Proposal) -> set[str]:
    """The tasks above whose rates this may pay."""
    match proposal.verdict:
        case Evaluated(covered=covered) | Holding(covered=covered):
            return {task for payer in covered.payers for task, _ in payer.above}
        case _:
            return set()
