"""Comparing agents with the log: who answers for one, what it may do at most, its risk, and whether it acts.

1. Each column is what the records leave it as.
2. Not compared: the code that was last sent to a monitor, and when one came back. No record holds them. That
   one came back is compared.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import (
    AgentCeilingChanged,
    IdentityChanged,
    IdentityRegistered,
    MonitorAcknowledged,
)
from taskbound.core.audit.events import AgentPeopleChanged, AgentRiskChanged
from taskbound.core.dataclass import dataclass
from taskbound.core.identity import AgentState
from taskbound.core.identity.risk import Risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.audit import Record
    from taskbound.core.identity import Agent
    from taskbound.ports.store import Snapshot


_STATES: Final = frozenset(one.value for one in AgentState)
"""No state of a person is one of these: a record of theirs is none of an agent of the same name."""


@dataclass(slots=True)
class _Told:
    """What the records say of one agent."""

    owner: str
    approvers: tuple[str, ...]
    monitor: str
    ceiling: str
    state: str = AgentState.REGISTERED.value
    risk: str = Risk.LOW.value
    risk_by: str = ""
    acknowledged: bool = False


@dataclass(slots=True)
class AgentLedger:
    """What the log says of agents."""

    snapshot: Snapshot
    told: dict[tuple[str, str], _Told] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Follow one record."""
        space = record.namespace
        match record.event:
            case IdentityRegistered(form="agent") as event:
                self.told[space, event.identity] = _Told(
                    owner=event.owner,
                    approvers=event.approvers,
                    monitor=event.monitor,
                    ceiling=event.ceiling,
                )
            case (
                IdentityChanged()
                | AgentPeopleChanged()
                | AgentCeilingChanged()
                | AgentRiskChanged()
                | MonitorAcknowledged()
            ) as event if (space, event.identity) in self.told:
                _follow(self.told[space, event.identity], event)
            case _:
                pass

    def differences(self) -> Iterator[str]:
        """Where the rows differ, in words."""
        spaces = {space for space, _ in self.told} | set(self.snapshot.identities.namespaces())
        for space in sorted(spaces):
            rows = {one.name: one for one in self.snapshot.identities.agents(space)}
            told = {name: one for (where, name), one in self.told.items() if where == space}
            for name in sorted(rows.keys() | told.keys()):
                if name not in rows:
                    yield f"agent {name} was registered, and is not there"
                elif name not in told:
                    yield f"agent {name} is there, and no record registered it"
                else:
                    yield from _compare(rows[name], told[name])


def _follow(
    told: _Told,
    event: IdentityChanged
    | AgentPeopleChanged
    | AgentCeilingChanged
    | AgentRiskChanged
    | MonitorAcknowledged,
) -> None:
    match event:
        case IdentityChanged() if event.after in _STATES:
            told.state = event.after
            if event.after == AgentState.SUSPENDED.value:
                told.acknowledged = False
        case AgentPeopleChanged():
            told.owner, told.approvers = event.owner, event.approvers
        case AgentCeilingChanged():
            told.ceiling = event.after
        case AgentRiskChanged():
            told.risk, told.risk_by = event.after, event.by
        case MonitorAcknowledged():
            told.acknowledged = True
        case _:
            pass  # a person of this name came or went


def _compare(row: Agent, told: _Told) -> Iterator[str]:
    acknowledged = row.acknowledged is not None
    for what, here, there in (
        ("owner", row.owner, told.owner),
        ("approvers", row.approvers, told.approvers),
        ("monitor", row.monitor, told.monitor),
        ("ceiling", row.ceiling.digest, told.ceiling),
        ("risk", row.risk.value, told.risk),
        ("word for its risk", row.risk_by, told.risk_by),
        ("acknowledgement of its monitor", acknowledged, told.acknowledged),
    ):
        if here != there:
            yield f"agent {row.name} has another {what} than its records leave it with"
    if row.state.value != told.state:
        yield f"agent {row.name} is `{row.state.value}`, and its records say `{told.state}`"
