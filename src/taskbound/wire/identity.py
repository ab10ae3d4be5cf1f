"""Persons, groups and agents: registering, showing, activating, suspending."""

from __future__ import annotations

import msgspec

from taskbound.wire.frame import Message


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
    grantable: str
    """What is said of them: `nothing`, `ceiling` or `scope`."""
    groups: tuple[str, ...]
    proof: str = "peer-uid (unproven)"
    linked: tuple[str, ...] = ()
    """Persons who are the same human."""


class PersonRows(Message, frozen=True, tag="persons", tag_field="is"):
    """The persons."""

    rows: tuple[PersonRow, ...]


class ShowPerson(Message, frozen=True, tag="person:show", tag_field="op"):
    """Ask for one person and what they may grant."""

    name: str


class PersonDetail(Message, frozen=True, tag="person", tag_field="is"):
    """One person, and all that they may grant."""

    row: PersonRow
    may: str
    """With their groups: `nothing`, `ceiling` or `scope`."""
    may_words: tuple[str, ...]
    """With their groups, in words."""
    scope: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """What is said of them, when that is a scope."""


class SetPersonGrantable(Message, frozen=True, tag="person:grantable", tag_field="op"):
    """Say what a person may grant. An act of who may grant it, or of the data directory's owner."""

    name: str
    word: str = ""
    """`nothing`, or `ceiling` for anything within an agent's ceiling."""
    scope: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Exactly one of word and scope."""


class AddGroup(Message, frozen=True, tag="group:add", tag_field="op"):
    """Make a group without members, which may grant nothing. A person's act."""

    name: str


class ListGroups(Message, frozen=True, tag="group:list", tag_field="op"):
    """Ask for the groups."""


class ShowGroup(Message, frozen=True, tag="group:show", tag_field="op"):
    """Ask for one group."""

    name: str


class SetMember(Message, frozen=True, tag="group:member", tag_field="op"):
    """Take a person into a group or out of it. An act of who may grant the same, or of the owner."""

    group: str
    person: str
    member: bool


class SetGroupGrantable(Message, frozen=True, tag="group:grantable", tag_field="op"):
    """Say what members may grant. An act of who may grant it, or of the data directory's owner."""

    name: str
    word: str = ""
    scope: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """As in `person:grantable`."""


class GroupDetail(Message, frozen=True, tag="group", tag_field="is"):
    """One group."""

    name: str
    members: tuple[str, ...]
    grantable: str
    """`nothing`, `ceiling` or `scope`."""
    words: tuple[str, ...]
    scope: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class GroupRows(Message, frozen=True, tag="groups", tag_field="is"):
    """The groups."""

    rows: tuple[GroupDetail, ...]


class SetCeiling(Message, frozen=True, tag="agent:ceiling", tag_field="op"):
    """Say anew what the agent can never pass. Its owner's act."""

    name: str
    ceiling: msgspec.Raw


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


class SetRisk(Message, frozen=True, tag="agent:risk", tag_field="op"):
    """Say how risky an agent is. An act of who answers for it; lowering is one of its approvers'."""

    name: str
    level: str
    """`low`, `medium` or `high`."""
    reason: str
    """1 to 500 characters."""


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
    risk: str
    """`low`, `medium` or `high`."""
    risk_by: str
    """Who said so; empty where nobody has."""


class AgentRows(Message, frozen=True, tag="agents", tag_field="is"):
    """The agents."""

    rows: tuple[AgentDetail, ...]
