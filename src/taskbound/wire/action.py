"""Messages about actions and amendments."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from taskbound.wire.frame import Message, Request, Response


class Decide(Request, frozen=True, tag="action:decide", tag_field="op"):
    """Ask for a permit for one action. Only a gateway's connection may (design 4)."""

    tool: str
    """`server__tool`."""
    arguments: msgspec.Raw
    """The canonical bytes (RFC 8785) of the argument object: what is evaluated and what is forwarded."""
    request: str
    """The client's JSON-RPC id as canonical JSON text; with the connection it names the presentation."""
    key: str = ""
    """The client's idempotency key, at most 200 characters; it outlives the connection."""
    resume: str = ""
    """The held action that this call waits for, when it is asked for again."""
    wait: int = 0
    """Seconds that the gateway waits, should people have to be asked."""
    read: tuple[str, ...] | None = None
    """After `ReadFirst`: the action of each reading call, in order; empty where a call got none."""
    token: str = ""
    """The name of the token that the request came with; empty where the client is known by its process."""
    recipient: str = ""
    """For a credential: the X25519 public key that its secret is sealed to, 43 characters of base64url."""


class Malformed(Request, frozen=True, tag="action:malformed", tag_field="op"):
    """Record that a request for an action could not be parsed: one audit record."""

    code: str
    message: str
    size: int
    sha256: str
    tool: str = ""


class Reason(Message, frozen=True):
    """One reason of a decision."""

    code: str
    text: str
    detail: str = ""


class Permitted(Response, frozen=True, tag="permitted", tag_field="is"):
    """A permit for exactly this action, once, by this connection, until `until`."""

    action: str
    task: str
    digest: str
    until: int
    server: str
    """The pinned server identity's digest that the permit is for."""
    definition: str
    credential: str = ""
    """The credential that is written down with it; empty where none was asked for."""


class Refused(Response, frozen=True, tag="refused", tag_field="is"):
    """A refusal with reasons; `instead` is one sentence that tells the model what it may do."""

    action: str
    """Empty when no task could be named."""
    task: str
    code: str
    instead: str
    reasons: tuple[Reason, ...] = ()
    approval: str = ""
    """What people are asked, where they are."""
    waits: str = ""
    """Of a held action: the sentence that says who is asked, and until when."""


class Reading(Message, frozen=True):
    """One call of a reading tool that resolves what another call names."""

    tool: str
    """`server__tool`, of the server of the call that it is made for."""
    arguments: msgspec.Raw
    """Their canonical bytes."""


class ReadFirst(Response, frozen=True, tag="read-first", tag_field="is"):
    """Undecided: make these reading calls, each decided like any other, and ask again with their results.

    Each is presented as `["read",ID,NUMBER]`, where ID is the `request` of this call and NUMBER is new on the
    connection.
    """

    readings: tuple[Reading, ...]
    """16 at most."""


class Duplicate(Response, frozen=True, tag="duplicate", tag_field="is"):
    """The same presentation was made before; this has its stored answer, if there is one."""

    action: str
    task: str
    state: str
    answer: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """The exact bytes of the JSON-RPC `result` that was released, or absent."""
    reasons: tuple[Reason, ...] = ()
    credential: str = ""
    """The credential that was written down with the permit; empty where none was asked for."""


class Changed(Message, frozen=True):
    """One value that a person has reduced."""

    place: str
    """As a scope writes it."""
    before: str
    """Canonical JSON."""
    after: str


class Narrowed(Response, frozen=True, tag="narrowed", tag_field="is"):
    """A person has answered the held action with a narrower one, to be presented instead."""

    action: str
    """The narrower one."""
    task: str
    arguments: msgspec.Raw
    """Its canonical bytes; they are decided when they are presented."""
    changed: tuple[Changed, ...]


class Outcome(Request, frozen=True, tag="action:outcome", tag_field="op"):
    """Report the outcome of a permitted action. Only the connection that holds the permit may."""

    action: str
    outcome: str
    """`succeeded`, `failed`, `unknown` or `not-sent`."""
    answer: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """The exact bytes of the JSON-RPC `result`; absent without a result or if it is over 1 MiB."""
    answer_sha256: str = ""
    note: str = ""


class Released(Response, frozen=True, tag="released", tag_field="is"):
    """The outcome is durable and the task was running: the gateway may release the result."""

    action: str


class Withheld(Response, frozen=True, tag="withheld", tag_field="is"):
    """The gateway must not release the result to the client."""

    action: str
    code: str
    reason: str
    recorded: bool = True
    """Whether the outcome is durable; otherwise it must be reported again."""


class AskAction(Request, frozen=True, tag="action:ask", tag_field="op"):
    """Ask for a permit for one action over a network.

    Only an agent with a token of its task may, by its key.
    """

    tool: str
    """`server__tool`."""
    arguments: msgspec.Raw
    """The argument object; what is decided, and is to run, are its canonical bytes (RFC 8785)."""
    resume: str = ""
    """The held action that this is the next try of; without it any open hold of the same act is one."""
    token: bool = False
    """Whether a transaction token is wanted with the permit, for systems downstream."""
    content_digest: str = ""
    """`sha-256=:…:` of the HTTP request that carries the action out (RFC 9530); it stands in that token."""


class ActionPermitted(Response, frozen=True, tag="action-permitted", tag_field="is"):
    """A permit for exactly this action, once, to begin before `until`; no other answer permits it."""

    action: str
    task: str
    tool: str
    digest: str
    arguments: msgspec.Raw
    """The canonical bytes that were decided: these run, and no others."""
    until: int
    """µs since 1970."""
    due: int
    """When the outcome is overdue, and the action's outcome unknown."""
    server: str
    """The pinned server identity's digest that the permit is for."""
    definition: str
    token: str = ""
    """The transaction token, where one was wanted and could be had."""
    token_refused: str = ""
    """Why a requested token is missing: the code, and a text. The permit is valid without it."""


class NotPermitted(Response, frozen=True, tag="not-permitted", tag_field="is"):
    """The answer to `action:ask` that permits nothing: refused, held, or asked before."""

    code: str
    """`held`, `narrowed`, `action-repeated`, or why it was refused."""
    family: str
    """Of the refusal: `malformed`, `denied` or `unavailable`."""
    message: str
    advice: str
    action: str = ""
    """Empty when there is no action of it."""
    task: str = ""
    reasons: tuple[Reason, ...] = ()
    approval: str = ""
    """What people are asked, where they are."""
    state: str = ""
    """How the action stands."""
    arguments: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Of a narrower action: what is to be asked for instead."""
    changed: tuple[Changed, ...] = ()
    answer: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """For a repeated request: the earlier result."""
    lifters: tuple[str, ...] = ()
    """Of a held one: whose word lifts it."""
    until: int = 0
    """For a held action: when its question closes unless the agent asks again, in µs since 1970."""


MOST_EVALUATIONS: Final = 64
"""Evaluations of one request: as many as are committed together."""


class Evaluation(Message, frozen=True):
    """One action to decide, with no outcome to be reported."""

    tool: str
    """`server__tool`."""
    arguments: msgspec.Raw
    """Their canonical bytes."""
    subject: str = ""
    """The caller's statement for whom it asks, as canonical JSON; recorded, but identifies no principal."""
    code: str = ""
    """Why no tool can be the answer; then it is recorded as unread, and not decided."""
    message: str = ""
    token: str = ""
    """What the agent showed a service that asks in its own name: a token of its task, for that service's
    audience. Empty where the agent asks itself."""

    def __repr__(self) -> str:
        return f"Evaluation({self.tool!r})"


class EvaluateActions(Request, frozen=True, tag="action:evaluate", tag_field="op"):
    """Evaluate actions by AuthZEN over a network; each one is decided as an action.

    The caller shows a token of its task, or a service's; a service names a token of the task with each
    evaluation.
    """

    evaluations: tuple[Evaluation, ...]
    """1 to 64."""
    until: Literal["", "deny", "permit"] = ""
    """Which answer is the last one; empty where all are asked about. What comes behind it is not decided."""


class ActionsEvaluated(Response, frozen=True, tag="actions-evaluated", tag_field="is"):
    """The answers in order; fewer if one of them ended the list."""

    answers: tuple[ActionPermitted | NotPermitted, ...]


class ReportAction(Request, frozen=True, tag="action:report", tag_field="op"):
    """Report the outcome of a permitted action over a network, with a token of its task."""

    action: str
    outcome: str
    """`succeeded`, `failed`, `unknown` or `not-sent`."""
    answer: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """The result, stored for repeated requests with the same key; absent without one."""
    answer_sha256: str = ""
    """SHA-256 of a result that is not sent along."""
    note: str = ""


class OutcomeTaken(Response, frozen=True, tag="outcome-taken", tag_field="is"):
    """The outcome is durable, and its result, if any, may be used."""

    action: str
    result: str
    """`may-leave`, or `none` if there is no result to use."""


class FollowAction(Request, frozen=True, tag="action:follow", tag_field="op"):
    """Ask for the state of an action of the caller's task over a network, with a token of the task."""

    action: str


class ActionState(Response, frozen=True, tag="action-state", tag_field="is"):
    """The state of one action, as far as its agent needs it, without any rule of the organization."""

    action: str
    task: str
    tool: str
    digest: str
    state: str
    decision: str
    code: str
    until: int
    """When the permit ends or ended, in µs since 1970; 0 where there was none."""
    due: int
    """When its outcome is overdue; 0 where there was no permit."""
    approval: str = ""
    """What people were asked, where they were."""
    approval_state: str = ""
    """`approved`: ask again, with the same arguments."""


class ListActions(Request, frozen=True, tag="action:list", tag_field="op"):
    """List actions, newest first."""

    task: str = ""
    decision: str = ""
    limit: int = 50
    before: str = ""
    """Cursor: the last action id of the page before."""


class ShowAction(Request, frozen=True, tag="action:show", tag_field="op"):
    """Show one action with its arguments."""

    action: str


class ExplainAction(Request, frozen=True, tag="action:explain", tag_field="op"):
    """Explain a decision by replaying it from its record."""

    action: str


class ReconcileAction(Request, frozen=True, tag="action:reconcile", tag_field="op"):
    """State the outcome of an action whose outcome was unknown. Only a person outside may."""

    action: str
    outcome: str
    """`succeeded` or `failed`."""
    note: str
    """How they know."""


class ActionRow(Message, frozen=True, tag="action", tag_field="is"):
    """One action in short."""

    action: str
    task: str
    agent: str
    tool: str
    state: str
    decision: str
    code: str
    at: int
    attempt: int
    learning: bool
    """Whether its task is to learn from."""


class ActionRows(Response, frozen=True, tag="actions", tag_field="is"):
    """A page of actions."""

    rows: tuple[ActionRow, ...]
    more: bool


class ActionDetail(Response, frozen=True, tag="action-detail", tag_field="is"):
    """One action in full: every byte that was evaluated, and the reasons of the decision."""

    row: ActionRow
    digest: str
    act_key: str
    server: str
    definition: str
    arguments: str
    """The canonical bytes as text."""
    flags: tuple[str, ...]
    grant: str
    policies: tuple[str, ...]
    bundle: str
    scope: str
    reasons: tuple[Reason, ...]
    history: tuple[str, ...]
    """State changes in words, oldest first."""
    replay: str = ""
    """For `action:explain`: `same` when the record replays to the same answer, else what differs."""
    facts: tuple[str, ...] = ()
    """For `action:explain`: each fact that the decision read, in words."""
    turns: tuple[str, ...] = ()
    """For `action:explain`: what of scope, facts and arguments would have changed the answer, each alone."""
    key: str = ""
    """The client's idempotency key, which went with the call to its server too."""
    grants: tuple[str, ...] = ()
    """For `action:explain`: the grants that cover it in words, or what kept the nearest from it."""
    asked: tuple[str, ...] = ()
    """For `action:explain`: the policies whose head fits it."""
    arguments_read: tuple[str, ...] = ()
    """For `action:explain`: the arguments that these read."""
    could_grant: str = ""
    """For `action:explain` of what was outside of the scope: `yes: …` or `no: …`, as of now."""


class AskAmendment(Request, frozen=True, tag="task:widen", tag_field="op"):
    """Ask the approvers of a task's agent to widen the task's scope. Only a person may."""

    task: str
    scope: msgspec.Raw
    reason: str
    """Why it needs more, 1 to 500 characters."""
    seconds: int = 3600
    """How long it may be answered; never past the task's deadline."""
    seen: str = ""
    """The digest of the scope that it had when it was looked at; empty for whichever it has."""


class ShowAmendment(Request, frozen=True, tag="amendment:show", tag_field="op"):
    """Show one amendment with everything that is signed and shown of it."""

    amendment: str


class AmendmentRow(Message, frozen=True):
    """One amendment in short."""

    amendment: str
    task: str
    agent: str
    requester: str
    asker: str
    state: str
    lifters: tuple[str, ...]
    missing: str
    """What is missing until it is applied, in words; empty when it is over."""
    why: str
    """Why the asker wants it."""
    asked: int
    deadline: int
    reason: str = ""
    """Why it is over."""


class AmendmentAnswer(Message, frozen=True):
    """One answer to an amendment."""

    kind: str
    person: str
    key: str
    received: int


class AmendmentDetail(Response, frozen=True, tag="amendment", tag_field="is"):
    """One amendment in full; the display computes its digest and the difference from this."""

    row: AmendmentRow
    digest: str
    question: str
    """The canonical bytes whose SHA-256 is the digest, as text; the whole new scope is in them."""
    before: str
    """The canonical bytes of the scope that the task has, as text; empty when it has another one by now."""
    remainders: tuple[tuple[str, int, int], ...]
    """(limit, left, of) of the task now."""
    answers: tuple[AmendmentAnswer, ...]
    may_answer: tuple[str, ...]
    """Names of those whose word counts now."""
