"""Saying how risky an agent is (`core.identity.risk` has who may).

1. The level and its record are written in one transaction, and the agent's version moves with it: what was
   decided by another level and not yet committed is decided anew.
2. Tasks go on: what a level means is for policies to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit import AgentRiskChanged
from taskbound.core.identity import UnknownIdentityError
from taskbound.core.identity.risk import parse_risk, parse_risk_reason, set_level

if TYPE_CHECKING:
    from taskbound.core.identity import Agent
    from taskbound.flows.decision import Views
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


def say_risk(  # noqa: PLR0913 - what is said, of whom and by whom, each by its name
    means: Means, views: Views, namespace: str, name: str, level: str, *, reason: str, actor: Actor
) -> Agent:
    """Say how risky an agent is from now on.

    Raises:
        BadRiskError: There is no such level, or the reason can't be.
        UnknownIdentityError: There is no such agent.
        SameRiskError: It is of this risk.
        NotAnsweringError: Somebody says so who may not.
        OwnRiskError: They would take back alone what they said.
    """
    wanted, why = parse_risk(level), parse_risk_reason(reason)

    def work(tx: Transaction) -> Agent:
        persons, _ = tx.identities.lock_grantors(namespace)
        before = tx.identities.agent(namespace, name)
        if before is None:
            raise UnknownIdentityError(f"no agent is named `{name}`")
        after = set_level(before, wanted, actor.name, persons)
        tx.identities.put_agent(after, expect=before.version)  # 1
        event = AgentRiskChanged(
            identity=name,
            before=before.risk.value,
            after=after.risk.value,
            reason=why,
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(namespace, means.writer, [event], means.clock.now())
        return after

    after = means.store.write(work)
    views.forget()
    return after
