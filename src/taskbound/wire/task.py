"""Messages about tasks, templates and runs."""

from __future__ import annotations

import msgspec

from taskbound.wire.frame import Message, Request, Response
from taskbound.wire.target import CredentialRow


class StartTask(Request, frozen=True, tag="task:start", tag_field="op"):
    """Declare a task and start it. Only a person may."""

    agent: str
    purpose: str
    """Why, 1 to 500 characters."""
    seconds: int
    """Time to the deadline, 1 second to 30 days."""
    template: str = ""
    scope: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Exactly one of template and scope."""
    evidence: tuple[str, ...] = ()
    """Tickets and digests of words: `ticket:SYSTEM:ID`, `words:sha256:HEX`."""
    tokens: tuple[str, ...] = ()
    """Signed tokens of issuers whose word counts."""
    learning: bool = False
    """Whether it is to learn from: its agent's owner asks, for at most 14 days."""
    heartbeat: int = 0
    """Seconds within which a connection must be bound to it, or it is paused; 0 for its template's."""
    grace: int = 0
    """Seconds that it may stay paused so before it ends."""


class DelegateTask(Request, frozen=True, tag="task:delegate", tag_field="op"):
    """Delegate a part of a task to an agent, as a child task. Only a person may."""

    parent: str
    agent: str
    purpose: str
    seconds: int = 0
    """Time to the deadline, no later than its parent's; 0 for its parent's."""
    template: str = ""
    scope: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Exactly one of template and scope."""
    evidence: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    heartbeat: int = 0
    """As of a task of its own; 0 for its template's."""
    grace: int = 0


class StepTask(Request, frozen=True, tag="task:step", tag_field="op"):
    """Move a task to its next step. Only a person may."""

    task: str
    name: str = ""
    """The name of the next step; empty for whichever it is."""


class AmendTask(Request, frozen=True, tag="task:amend", tag_field="op"):
    """Narrow the scope of a task. Only a person may."""

    task: str
    scope: msgspec.Raw
    seen: str = ""
    """The digest of the scope that it had when it was looked at; empty for whichever it has."""


class ShowTask(Request, frozen=True, tag="task:show", tag_field="op"):
    """Show one task."""

    task: str


class ListTasks(Request, frozen=True, tag="task:list", tag_field="op"):
    """List tasks, newest first."""

    agent: str = ""
    state: str = ""
    limit: int = 50
    before: str = ""


class PauseTask(Request, frozen=True, tag="task:pause", tag_field="op"):
    """Pause a task. Only a person may."""

    task: str
    reason: str = ""


class ResumeTask(Request, frozen=True, tag="task:resume", tag_field="op"):
    """Resume a paused task. Only a person may."""

    task: str


class EndTask(Request, frozen=True, tag="task:end", tag_field="op"):
    """End a task for good. Only a person, or the `run` that registered it, may."""

    task: str
    how: str = "completed"
    """`completed`, `failed`, `cancelled` or `revoked`."""
    reason: str = ""


class EndOwnTask(Request, frozen=True, tag="task:end-own", tag_field="op"):
    """End the task of the shown token for good. Only its agent may, over the network."""

    how: str = "completed"
    """`completed`, `failed` or `cancelled`."""
    reason: str = ""
    """Up to 200 characters."""


class TaskRow(Message, frozen=True):
    """One task in short."""

    task: str
    agent: str
    requester: str
    purpose: str
    state: str
    started: int
    deadline: int
    actions: int
    learning: bool


class TaskRows(Response, frozen=True, tag="tasks", tag_field="is"):
    """A page of tasks."""

    rows: tuple[TaskRow, ...]
    more: bool


class EvidenceRow(Message, frozen=True):
    """One piece of a task's evidence, and whether it holds now."""

    text: str
    names: tuple[str, ...]
    """What `@hold("evidence:NAME")` can ask for."""
    verdict: str
    """`stated`, `proven`, `lapsed` or `disowned`."""
    until: int
    """Until when it is proven, or since when it isn't; 0 where neither applies."""
    reason: str


class TaskDetail(Response, frozen=True, tag="task", tag_field="is"):
    """One task in full."""

    row: TaskRow
    scope: msgspec.Raw
    scope_words: tuple[str, ...]
    remainders: tuple[tuple[str, int, int], ...]
    """(limit, left, of)."""
    evidence: tuple[EvidenceRow, ...]
    connections: int
    history: tuple[str, ...]
    parent: str = ""
    children: tuple[str, ...] = ()
    """What is not ended beneath it, nearest first."""
    step: str = ""
    """The name of the step that it is in; empty when its scope has none."""
    steps: tuple[str, ...] = ()
    digest: str = ""
    """Of its scope."""
    heartbeat: int = 0
    """Seconds within which a connection must be bound to it; 0 for none."""
    grace: int = 0
    holds: str = ""
    """What becomes of held actions when their calls are over: `end-with-the-call` or `outlive-the-call`."""
    amendment: str = ""
    """The open amendment of the task; empty without one."""
    credentials: tuple[CredentialRow, ...] = ()
    """What it has or had in targets, newest first; 50 at most."""
    credential_count: int = 0
    """How many those are in all; 1,000 at most are counted."""


class RegisterRun(Request, frozen=True, tag="task:run", tag_field="op"):
    """Register the calling process: gateways beneath it belong to this task. Only a person may."""

    task: str


class AddIssuer(Request, frozen=True, tag="issuer:add", tag_field="op"):
    """Add an issuer of evidence. Only the data directory's owner may."""

    name: str
    issuer: str
    """What its tokens say as `iss`."""
    keys: str
    """Its public keys: one JSON Web Key, or a set of them."""
    audience: str = ""
    """What its tokens must say as `aud`; empty for `urn:taskbound:NAMESPACE`."""


class RemoveIssuer(Request, frozen=True, tag="issuer:remove", tag_field="op"):
    """Remove an issuer of evidence. Only the data directory's owner may."""

    name: str


class ListIssuers(Request, frozen=True, tag="issuer:list", tag_field="op"):
    """List the issuers of evidence."""


class IssuerRow(Message, frozen=True):
    """One issuer."""

    name: str
    issuer: str
    audience: str
    keys: tuple[str, ...]
    """`KID ALG THUMBPRINT` of each."""


class IssuerRows(Response, frozen=True, tag="issuers", tag_field="is"):
    """The issuers."""

    rows: tuple[IssuerRow, ...]


class SaveTemplate(Request, frozen=True, tag="template:save", tag_field="op"):
    """Store a scope and a lifetime as a template. Only a person may."""

    name: str
    scope: msgspec.Raw
    seconds: int
    purpose: str = ""
    heartbeat: int = 0
    """Seconds of the heartbeat of a task that names none; 0 for none."""
    grace: int = 0
    holds: str = ""
    """What becomes of its tasks' held actions when their calls are over; empty for `end-with-the-call`."""


class RemoveTemplate(Request, frozen=True, tag="template:remove", tag_field="op"):
    """Remove a template. Only a person may."""

    name: str


class ListTemplates(Request, frozen=True, tag="template:list", tag_field="op"):
    """List the templates."""


class TemplateRow(Message, frozen=True):
    """One template."""

    name: str
    seconds: int
    purpose: str
    scope: msgspec.Raw
    scope_words: tuple[str, ...]
    heartbeat: int = 0
    grace: int = 0
    holds: str = ""


class TemplateRows(Response, frozen=True, tag="templates", tag_field="is"):
    """The templates."""

    rows: tuple[TemplateRow, ...]
