"""Persons and agents: registering, showing, activating, suspending."""

from __future__ import annotations

import msgspec

from taskbound.wire.frame import Message

__all__ = [
    "AcknowledgeMonitor",
    "ActivateAgent",
    "AgentDetail",
    "AgentRows",
    "ListAgents",
    "ListPersons",
    "PersonRow",
    "PersonRows",
    "RegisterAgent",
    "RegisterPerson",
    "ShowAgent",
    "SuspendAgent",
    "TestMonitor",
]


class RegisterPerson(Message, frozen=True, tag="person:register", tag_field="op"):
    """Make a person known by the local account (uid) that they use. A person's act."""

    name: str
    uid: int


class ListPersons(Message, frozen=True, tag="person:list", tag_field="op"):
    """Ask for the persons."""


class PersonRow(Message, frozen=True):
    """One person."""

    name: str
    uid: int
    state: str
    proof: str = "peer-uid (unproven)"


class PersonRows(Message, frozen=True, tag="persons", tag_field="is"):
    """The persons."""

    rows: tuple[PersonRow, ...]


class RegisterAgent(Message, frozen=True, tag="agent:register", tag_field="op"):
    """Write an agent down with those who answer for it; it stays inactive. A person's act."""

    name: str
    owner: str
    approvers: tuple[str, ...]
    monitor: str
    """`file:/absolute/path` or `exec:/absolute/path`."""
    ceiling: msgspec.Raw
    """A scope that the agent can never pass."""


class TestMonitor(Message, frozen=True, tag="agent:test-monitor", tag_field="op"):
    """Have a test event with a fresh random code delivered to the agent's monitor. A person's act."""

    name: str


class AcknowledgeMonitor(Message, frozen=True, tag="agent:acknowledge", tag_field="op"):
    """Type back the code that the monitor received. A person's act."""

    name: str
    code: str


class ActivateAgent(Message, frozen=True, tag="agent:activate", tag_field="op"):
    """Let the agent have tasks; refuses without owner, approver and acknowledged monitor. A person's act."""

    name: str


class SuspendAgent(Message, frozen=True, tag="agent:suspend", tag_field="op"):
    """Stop the agent: all its tasks are revoked. A person's act."""

    name: str
    reason: str = ""


class ShowAgent(Message, frozen=True, tag="agent:show", tag_field="op"):
    """Ask for one agent."""

    name: str


class ListAgents(Message, frozen=True, tag="agent:list", tag_field="op"):
    """Ask for the agents."""


class AgentDetail(Message, frozen=True, tag="agent", tag_field="is"):
    """One agent, and what it still lacks before it can be active."""

    name: str
    state: str
    owner: str
    approvers: tuple[str, ...]
    monitor: str
    acknowledged: int
    """Instant of the acknowledgment, 0 when there is none."""
    ceiling: msgspec.Raw
    ceiling_words: tuple[str, ...]
    lacks: tuple[str, ...]
    running: tuple[str, ...]
    """Ids of its running tasks."""


class AgentRows(Message, frozen=True, tag="agents", tag_field="is"):
    """The agents."""

    rows: tuple[AgentDetail, ...]
