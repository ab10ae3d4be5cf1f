"""Messages about the authorization of clients.

Of `authorization`:
1. A browser's secret and the code that a person types are in messages and never in a repr.
2. What a client says of itself is shown to the person as its own claim.
Of `oauth`:
1. A form is passed on as read: names and values, each name once. The daemon alone interprets it.
2. The text of a token is in messages here and never in a repr.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from taskbound.wire.frame import Message, Request, Response
from taskbound.wire.network import PageAsk


class AddClient(Request, frozen=True, tag="token:client-add", tag_field="op"):
    """Register a client with the addresses to which codes may be sent.

    Only the data directory's owner may.
    """

    client: str
    """Its name, which it sends as `client_id`."""
    redirects: tuple[str, ...]
    shown: str = ""
    """What it is called on the page of consent; empty for its name."""


class RemoveClient(Request, frozen=True, tag="token:client-remove", tag_field="op"):
    """Remove a client. Only the data directory's owner may."""

    client: str


class ListClients(Request, frozen=True, tag="token:client-list", tag_field="op"):
    """List the registered clients."""


class ShowClient(Request, frozen=True, tag="token:client-show", tag_field="op"):
    """Show one client."""

    client: str


class ClientRow(Response, frozen=True, tag="client", tag_field="is"):
    """One registered client."""

    client: str
    shown: str
    redirects: tuple[str, ...]
    added: int
    """µs since the epoch."""
    by: str


class ClientRows(Response, frozen=True, tag="clients", tag_field="is"):
    """Registered clients, by name."""

    rows: tuple[ClientRow, ...]


class ListAdmissions(Request, frozen=True, tag="token:admission-list", tag_field="op"):
    """List the admissions of clients, newest first."""

    client: str = ""
    """Of this client; empty for every one."""
    task: str = ""
    """Of this task; empty for every one."""
    limit: int = 50
    before: str = ""
    """The last of the page before; empty for the first page."""


class EndAdmission(Request, frozen=True, tag="token:admission-end", tag_field="op"):
    """End a client's admission.

    Its consenting person, the owner of task or agent, or the data directory's may.
    """

    admission: str
    why: str = ""


class AdmissionRow(Response, frozen=True, tag="admission", tag_field="is"):
    """One client's admission to one task, or to act as a person."""

    admission: str
    client: str
    agent: str
    """Empty where it acts as the person, as `task`."""
    task: str
    person: str
    """Who consented."""
    resource: str
    state: str
    """`stands`, `ended` or `over`: its time has passed."""
    begun: int
    """µs since the epoch, as all instants here."""
    until: int
    bound: bool
    """Whether what it brings is bound to a key of the client's."""
    ended: int | None = None
    why: str = ""


class AdmissionRows(Response, frozen=True, tag="admissions", tag_field="is"):
    """Admissions, newest first."""

    rows: tuple[AdmissionRow, ...]
    more: bool = False
    """Whether there are older ones."""


# --- what a browser brings -----------------------------------------------------------------------


class AskConsent(Request, frozen=True, tag="token:ask", tag_field="op"):
    """Store a client's request from a browser until a person answers (RFC 6749 §4.1.1). Public."""

    parameters: tuple[tuple[str, str], ...]
    """Names and values in order; what stands twice is refused by the daemon."""
    address: str = ""
    """Where the browser is."""

    def __repr__(self) -> str:
        return f"AskConsent({[name for name, _ in self.parameters]})"


class AwaitConsent(Request, frozen=True, tag="token:await", tag_field="op"):
    """Ask for the state of a request, with the secret of the browser that began it."""

    asked: str
    browser: str
    """What it is known by."""
    take: bool = False
    """Whether the browser continues with the answer, which it receives once."""

    def __repr__(self) -> str:
        return f"AwaitConsent({self.asked!r}, take={self.take})"


class Asking(Response, frozen=True, tag="asking", tag_field="is"):
    """A request, as its browser's page shows it."""

    asked: str
    typed: str
    """What the person types elsewhere."""
    answered: bool
    client: str
    shown: str
    """What the client calls itself (rule 2)."""
    host: str
    """Who answers for the client; empty where a person registered it here."""
    redirect: str
    """The host, or the scheme, that the answer goes to."""
    agent: str
    """Empty where the client asks to act as the person."""
    resource: str
    until: int
    """µs since the epoch; the request expires then."""
    browser: str = ""
    """What the browser is known by, told as the request begins."""

    def __repr__(self) -> str:
        return f"Asking({self.asked!r})"


class Onward(Response, frozen=True, tag="onward", tag_field="is"):
    """Where the browser goes next: a redirect URI of the client, with a code or an error."""

    to: str

    def __repr__(self) -> str:
        return "Onward()"


class LookInPage(PageAsk, frozen=True, kw_only=True, tag="token:choose", tag_field="op"):
    """Ask for the answers open to the person signed in with the browser that began a request."""

    asked: str
    browser: str
    """What the browser is known by."""

    def __repr__(self) -> str:
        return f"LookInPage({self.asked!r})"


class AnswerInPage(PageAsk, frozen=True, kw_only=True, tag="token:answer", tag_field="op"):
    """Answer a request on its page. Only the person signed in with the browser that began it may."""

    asked: str
    browser: str
    form: str
    """What a form of that page proves itself with."""
    answer: Literal["consent", "deny", "unmet"]
    """`unmet` if no issuer meets the sign-in that the client requires."""
    task: str = ""
    template: str = ""
    purpose: str = ""
    person: bool = False
    """Whether the client may act as the person."""

    def __repr__(self) -> str:
        return f"AnswerInPage({self.asked!r}, {self.answer!r})"


class RunningTask(Message, frozen=True, tag="running-task", tag_field="is"):
    """A task to which a client can be admitted."""

    task: str
    purpose: str
    requester: str
    deadline: int
    """µs since the epoch."""


class OpenedBy(Message, frozen=True, tag="opened-by", tag_field="is"):
    """A template from which a task can be started."""

    template: str
    purpose: str
    seconds: int


class Choosing(Response, frozen=True, tag="choosing", tag_field="is"):
    """What a request's page offers beside the request."""

    terminal: bool
    """Whether it can be answered in a terminal too."""
    sign_in: str
    """Where its page sends people to sign in; empty without sign-in."""
    person: str
    """The person signed in with this browser; may be empty."""
    met: bool
    """Whether they are signed in as the client wants."""
    form: str
    """What a form of the page proves itself with."""
    tasks: tuple[RunningTask, ...] = ()
    templates: tuple[OpenedBy, ...] = ()

    def __repr__(self) -> str:
        return f"Choosing(person={self.person!r}, met={self.met})"


# --- what a person answers -----------------------------------------------------------------------


class LookAtAsked(Request, frozen=True, tag="token:look", tag_field="op"):
    """Ask for the request behind the code that the caller's browser shows. Only a person may."""

    typed: str

    def __repr__(self) -> str:
        return "LookAtAsked()"


class ConsentToClient(Request, frozen=True, tag="token:consent", tag_field="op"):
    """Let a client have tokens of a running task, or of a new one. Only a person may."""

    typed: str
    client: str
    agent: str
    """Client and agent as the person saw them: what waits has to be of both."""
    task: str = ""
    """One that runs; empty where a template says what to start."""
    template: str = ""
    purpose: str = ""
    """Of the task that is started; empty for its template's."""
    seconds: int = 0
    """As long as it runs at most; 0 for as long as its template says."""

    def __repr__(self) -> str:
        return f"ConsentToClient({self.client!r}, {self.agent!r}, {self.task or self.template!r})"


class ConsentAsPerson(Request, frozen=True, tag="token:consent-person", tag_field="op"):
    """Let a client act as the consenting person over the network API. Only a person may."""

    typed: str
    client: str
    """As the person saw it: what waits has to be of it."""

    def __repr__(self) -> str:
        return f"ConsentAsPerson({self.client!r})"


class DenyClient(Request, frozen=True, tag="token:deny", tag_field="op"):
    """Refuse a client's request. Only a person may."""

    typed: str

    def __repr__(self) -> str:
        return "DenyClient()"


class AskedDetail(Response, frozen=True, tag="asked", tag_field="is"):
    """A request that waits or waited for a person."""

    asked: str
    state: str
    client: str
    shown: str
    host: str
    redirect: str
    agent: str
    """Empty where the client asks to act as the person."""
    resource: str
    until: int
    """µs since the epoch."""
    task: str = ""
    """The one that a person has let the client in to."""
    tasks: tuple[RunningTask, ...] = ()
    """Those that this person can choose."""
    templates: tuple[OpenedBy, ...] = ()


CODE: Final = "authorization_code"
REFRESH: Final = "refresh_token"
CREDENTIALS: Final = "client_credentials"
"""The grant by which services get tokens of their own (RFC 6749 §4.4)."""
PUBLIC: Final = frozenset({CODE, REFRESH})
"""Grants of clients that nothing proves (RFC 6749 §2.1)."""


class AskToken(Request, frozen=True, tag="token:exchange", tag_field="op"):
    """Request a token (RFC 6749 §3.2): exchange (RFC 8693), code, refresh token, or `client_credentials`."""

    form: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"AskToken({[name for name, _ in self.form]})"


class GiveBackToken(Request, frozen=True, tag="token:give-back", tag_field="op"):
    """Revoke a token that was issued to the asking client (RFC 7009)."""

    form: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"GiveBackToken({[name for name, _ in self.form]})"


class IntrospectToken(Request, frozen=True, tag="token:introspect", tag_field="op"):
    """Introspect a token (RFC 7662)."""

    form: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"IntrospectToken({[name for name, _ in self.form]})"


class ShowTokenJwks(Request, frozen=True, tag="token:jwks", tag_field="op"):
    """Get the public keys of tokens. Public."""


class ShowStatusList(Request, frozen=True, tag="token:status-list", tag_field="op"):
    """Get a status list token. Public."""

    number: int


ClientForm: TypeAlias = AskToken | GiveBackToken | IntrospectToken
"""What is asked by a client that the form itself proves."""


class GrantedTask(Message, frozen=True):
    """What a task token was issued for (RFC 9396 §7), one object of `authorization_details`."""

    type: str
    """`taskbound_task`."""
    identifier: str
    """The task."""
    locations: tuple[str, ...]
    """Where the token is taken."""
    scope: str
    """Digest of the task's scope."""
    deadline: int
    """Seconds since 1970."""
    heartbeat: int
    """Seconds within which its agent is to be heard of, or the task is paused; 0 for any."""
    grace: int
    """Seconds that it may stay paused so before it ends."""


class TokenGiven(Response, frozen=True, tag="token-given", tag_field="is"):
    """A signed token (RFC 6749 §5.1, RFC 8693 §2.2.1)."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str
    issued_token_type: str = ""
    """Of an exchange; empty of other grants."""
    refresh_token: str = ""
    """Of a client that people use; empty of an exchange."""
    authorization_details: tuple[GrantedTask, ...] = ()
    """Of a task token that was exchanged: its one task."""

    def __repr__(self) -> str:
        return f"TokenGiven({self.token_type!r}, {self.expires_in})"


class Introspected(Response, frozen=True, tag="introspected", tag_field="is"):
    """The introspection of a token as JSON (RFC 7662 §2.2)."""

    claims: str


class Published(Response, frozen=True, tag="published", tag_field="is"):
    """A public document: keys as JSON, or a status list token."""

    text: str
