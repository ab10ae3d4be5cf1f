"""Messages between gateway and egress, and from the egress to the daemon.

A gateway's connection to the egress is one server: `StartServer` opens it, and closing it ends the server.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from taskbound.wire.connection import Fault
from taskbound.wire.frame import Message, Request, Response
from taskbound.wire.tool import ServerSpec

MAX_SAID: Final = 18 * 1024 * 1024
"""The longest message of the egress in bytes: a server's line of 16 MiB, and its envelope."""


_NOTHING: Final = msgspec.Raw(b"{}")


class ShowSealing(Message, frozen=True, tag="egress:key", tag_field="op"):
    """Ask for the public key to which secrets are sealed."""


class StartServer(Message, frozen=True, tag="egress:start", tag_field="op"):
    """Start or reach a server as it is pinned; the first message on a connection."""

    namespace: str
    server: str
    identity: str
    """Digest of the identity that the gateway knows; another one refuses."""
    era: str
    offers: msgspec.Raw = _NOTHING
    """What a legacy server may be told that can be asked (`wire.mcp.offers`)."""
    task: str = ""
    """The gateway's own task that it is for, where credentials fill slots; empty for the only one."""


class ListServer(Message, frozen=True, tag="egress:list", tag_field="op"):
    """List what the server offers by this method."""

    number: int
    method: str


class CallServer(Message, frozen=True, tag="egress:call", tag_field="op"):
    """Make one permitted call, or one permitted request of a method."""

    number: int
    action: str
    """The action whose permit this is; the egress asks the daemon for it."""
    tool: str
    arguments: msgspec.Raw
    """The canonical bytes that were decided on."""
    key: str = ""
    progress: bool = False
    """Whether its progress is wanted."""
    level: str | None = None
    """The lowest of MCP's log levels that is wanted; absent if no client listens."""
    offers: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """The questions that a modern server may ask; left out if the client answers none."""


class Given(Message, frozen=True):
    """An answer to a question, as it is recorded."""

    action: str
    """The action that the question is."""
    answer: msgspec.Raw
    """The canonical bytes whose digest is recorded as what came of it."""
    key: str = ""
    """What the server calls the question, where it asked with its answer."""
    error: bool = False
    """Whether the client answered with an error."""


class ContinueCall(Message, frozen=True, tag="egress:continue", tag_field="op"):
    """Continue a call whose modern server asked for input, once all of it is answered."""

    number: int
    action: str
    """The action of the call."""
    given: tuple[Given, ...]
    progress: bool = False
    level: str | None = None
    offers: msgspec.Raw = _NOTHING


class AnswerServer(Message, frozen=True, tag="egress:answer", tag_field="op"):
    """Answer a question of a legacy server, or say that there is no answer."""

    question: int
    given: Given | None = None
    absent: bool = False
    """Whether a server without an answer learns that this client does not support the question."""


class LogFrom(Message, frozen=True, tag="egress:log-from", tag_field="op"):
    """Set the log level of a server that logs."""

    number: int
    level: str


class Unsubscribe(Message, frozen=True, tag="egress:unsubscribe", tag_field="op"):
    """End the server's notifications of this URI."""

    number: int
    uri: str


class CancelCall(Message, frozen=True, tag="egress:cancel", tag_field="op"):
    """Ask the server to cancel a call."""

    number: int
    reason: str


class ForgetCall(Message, frozen=True, tag="egress:forget", tag_field="op"):
    """The gateway no longer waits for this call."""

    number: int


class KillServer(Message, frozen=True, tag="egress:kill", tag_field="op"):
    """End the server at once."""

    reason: str


class CloseServer(Message, frozen=True, tag="egress:close", tag_field="op"):
    """End the server in order; the connection closes when it is over."""


class SealingPublic(Message, frozen=True, tag="sealing-key", tag_field="is"):
    """The public key: 32 bytes of X25519, as base64url."""

    key: str


class Started(Message, frozen=True, tag="started", tag_field="is"):
    """The server is ready for calls."""

    era: str
    methods: tuple[str, ...]
    logs: bool = False


class Failure(Message, frozen=True, tag="failure", tag_field="is"):
    """The server was not started, and the reason."""

    fault: Fault


class Entries(Message, frozen=True, tag="entries", tag_field="is"):
    """What the server lists, each object exactly as it was sent."""

    number: int
    entries: tuple[msgspec.Raw, ...]


class Unlisted(Message, frozen=True, tag="unlisted", tag_field="is"):
    """The server does not list, and the reason."""

    number: int
    fault: Fault


class Resulted(Message, frozen=True, tag="result", tag_field="is"):
    """The server answered a call with a result."""

    number: int
    raw: msgspec.Raw
    """Exactly its bytes."""
    working: bool = False
    """Whether it asks, and the server goes on with the call as a task until that is answered or cancelled."""


class Failed(Message, frozen=True, tag="error", tag_field="is"):
    """The server answered a call with a JSON-RPC error."""

    number: int
    raw: msgspec.Raw
    code: int
    message: str


class Unanswered(Message, frozen=True, tag="no-answer", tag_field="is"):
    """The outcome of a call is unknown."""

    number: int
    code: str
    reason: str
    detail: str = ""


class Unsent(Message, frozen=True, tag="not-sent", tag_field="is"):
    """No byte of a call was sent."""

    number: int
    code: str
    reason: str
    detail: str = ""


class Progressed(Message, frozen=True, tag="progress", tag_field="is"):
    """The parameters of one progress notification of a call."""

    number: int
    params: msgspec.Raw


class LoggedHere(Message, frozen=True, tag="log", tag_field="is"):
    """The parameters of one log notification: of a call, or of no known one (number 0)."""

    params: msgspec.Raw
    number: int = 0


class Asked(Message, frozen=True, tag="asked", tag_field="is"):
    """A question of a legacy server to its caller."""

    question: int
    number: int
    """The call in whose exchange it came; 0 if unknown."""
    method: str
    params: msgspec.Raw


class Withdrawn(Message, frozen=True, tag="withdrawn", tag_field="is"):
    """The server withdrew this question."""

    question: int


class ToolsMoved(Message, frozen=True, tag="tools-changed", tag_field="is"):
    """The server reports that its list of tools changed."""


class ListMoved(Message, frozen=True, tag="listed", tag_field="is"):
    """The server reports that its list of this kind changed."""

    kind: str


class Updated(Message, frozen=True, tag="updated", tag_field="is"):
    """The server reports that the resource at this URI changed."""

    uri: str


class Stopped(Message, frozen=True, tag="ended", tag_field="is"):
    """The server is gone; every open call was answered before."""

    reason: str
    detail: str


EgressAsk: TypeAlias = (
    ShowSealing
    | StartServer
    | ListServer
    | LogFrom
    | Unsubscribe
    | CallServer
    | ContinueCall
    | AnswerServer
    | CancelCall
    | ForgetCall
    | KillServer
    | CloseServer
)
"""All requests of gateways, and of clients that seal a secret."""
EgressSaid: TypeAlias = (
    SealingPublic
    | Started
    | Failure
    | Entries
    | Unlisted
    | Resulted
    | Failed
    | Unanswered
    | Unsent
    | Progressed
    | LoggedHere
    | Asked
    | Withdrawn
    | ToolsMoved
    | ListMoved
    | Updated
    | Stopped
    | Fault
)
"""Everything that the egress may say."""

ask_decoder = msgspec.json.Decoder(EgressAsk)
"""Reads what gateways send."""
said_decoder = msgspec.json.Decoder(EgressSaid)
"""Reads what the egress sends."""


class Holder(Message, frozen=True):
    """The process of a gateway's connection, as the egress read it from the kernel."""

    uid: int
    pid: int
    started: int


class ShowSealed(Request, frozen=True, tag="upstream:sealed", tag_field="op"):
    """Ask for a server's pin and its sealed secrets, to start it for this gateway. Only the egress may."""

    server: str
    holder: Holder
    credentials: tuple[str, ...] = ()
    """Ids of the server's credentials, at most 32; the answer says which of them are over."""


class InjectCredential(Request, frozen=True, tag="credential:inject", tag_field="op"):
    """Ask for the credential for a server's slots, as an action of a gateway's task. Only the egress may.

    The answer is that to `action:decide`. From its first question the connection belongs to that task, and
    takes, acknowledges and ends what it was permitted as a gateway's does.
    """

    server: str
    identity: str
    """Digest of the server's identity; another one refuses."""
    source: str
    """What is pinned, without the name: `credential:TARGET/KIND?parameter=value`."""
    task: str
    holder: Holder
    request: str
    """Names the question on this connection, as JSON text."""
    recipient: str = ""
    """The X25519 public key that the secret is sealed to; empty for a renewal."""
    resume: str = ""
    """The held action that this waits for, when it is asked for again."""
    wait: int = 0
    """Seconds that the egress waits, should people have to be asked."""
    renews: str = ""
    """The id of the credential that is to live longer; empty where a new one is wanted."""
    seconds: int = 0
    """For how long, where people made it less than what is pinned; 0 for what is."""


class SealedSlot(Message, frozen=True):
    """One filled slot."""

    slot: str
    number: int
    sealed: str


class SealedServer(Response, frozen=True, tag="sealed-server", tag_field="is"):
    """A pinned server with its sealed secrets."""

    spec: ServerSpec
    secrets: tuple[SealedSlot, ...]
    """Those that are filled."""
    now: int
    """The daemon's instant."""
    tasks: tuple[str, ...] = ()
    """The live tasks of this process that may use it."""
    ended: tuple[str, ...] = ()
    """Those of the named credentials that are over or unknown."""


class TellToken(Request, frozen=True, tag="upstream:token", tag_field="op"):
    """Report the life of a server's token, recorded before the answer. Only the egress may."""

    server: str
    identity: str
    """Digest of the server's identity."""
    token: str
    """The egress' own name for it: `tok_` and 32 hexadecimal digits."""
    state: Literal["asked", "given", "refused", "unconfirmed", "revoked", "lapsed", "left"]
    tasks: tuple[str, ...]
    seconds: int = 0
    """How long it lives from now on, when it was given or is left."""
    why: str = ""
    """Why it was refused or is left: an error's code."""
    holder: Holder | None = None
    """Who looks at the server, when one is about to be asked for and there is no task: a person's process."""


class ShowPermit(Request, frozen=True, tag="action:permit", tag_field="op"):
    """Ask for the open permit of an action that this gateway holds. Only the egress may."""

    action: str
    holder: Holder


class Permit(Response, frozen=True, tag="permit", tag_field="is"):
    """A permit for exactly this action, as it is recorded."""

    action: str
    tool: str
    """`server__tool`."""
    server: str
    """The pinned server identity's digest that the permit is for."""
    sha256: str
    """Of the canonical arguments."""
    at: int
    until: int
    now: int
    secrets: tuple[tuple[str, int], ...]
    """The number of each filled slot of the server now."""
    key: str = ""
    """The client's idempotency key that was decided with it."""
    task: str = ""
    """Whose permit it is."""


class ShowAnswer(Request, frozen=True, tag="action:answer", tag_field="op"):
    """Ask for the outcome of a question that this gateway had decided. Only the egress may."""

    action: str
    holder: Holder


class AnswerOf(Response, frozen=True, tag="answer-of", tag_field="is"):
    """The outcome of an action, as it is recorded and released."""

    action: str
    tool: str
    """`server__method`."""
    server: str
    """The pinned server identity's digest."""
    sha256: str
    """Of the canonical arguments."""
    answer_sha256: str
    """Of the answer's bytes."""
    finished: int
    now: int
