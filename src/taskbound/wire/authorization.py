"""Messages about the authorization of clients.

Of `authorization`:

1. What a browser is known by, and what a person types, stand in the messages that carry them and in no repr.
2. What is said of a client is what the person is shown: it is its own word, and is drawn as such.

Of `oauth`:

1. A form goes on as it was read: names and values, each name once. The daemon alone says what it means.
2. The text of a token stands in what is asked and answered here and in no repr.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from taskbound.wire.frame import Message
from taskbound.wire.network import PageAsk


class AddClient(Message, frozen=True, tag="token:client-add", tag_field="op"):
    """Have a client be sent codes at these addresses. An act of who owns the data directory."""

    client: str
    """Its name, which it sends as `client_id`."""
    redirects: tuple[str, ...]
    shown: str = ""
    """What it is called on the page of consent; empty for its name."""


class RemoveClient(Message, frozen=True, tag="token:client-remove", tag_field="op"):
    """Send it nothing more. An act of who owns the data directory."""

    client: str


class ListClients(Message, frozen=True, tag="token:client-list", tag_field="op"):
    """Ask which clients are registered."""


class ShowClient(Message, frozen=True, tag="token:client-show", tag_field="op"):
    """Ask what one of them is."""

    client: str


class ClientRow(Message, frozen=True, tag="client", tag_field="is"):
    """One registered client."""

    client: str
    shown: str
    redirects: tuple[str, ...]
    added: int
    """µs since the epoch."""
    by: str


class ClientRows(Message, frozen=True, tag="clients", tag_field="is"):
    """Registered clients, by name."""

    rows: tuple[ClientRow, ...]


class ListAdmissions(Message, frozen=True, tag="token:admission-list", tag_field="op"):
    """Ask what clients were let in to, newest first."""

    client: str = ""
    """Of this client; empty for every one."""
    task: str = ""
    """Of this task; empty for every one."""
    limit: int = 50
    before: str = ""
    """The last of the page before; empty for the first page."""


class EndAdmission(Message, frozen=True, tag="token:admission-end", tag_field="op"):
    """Let a client in no more. An act of who consented, of whose task or agent it is, or of the owner's."""

    admission: str
    why: str = ""


class AdmissionRow(Message, frozen=True, tag="admission", tag_field="is"):
    """One client that was let in to one task, or to act as a person."""

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


class AdmissionRows(Message, frozen=True, tag="admissions", tag_field="is"):
    """Admissions, newest first."""

    rows: tuple[AdmissionRow, ...]
    more: bool = False
    """Whether there are older ones."""


# --- what a browser brings -----------------------------------------------------------------------


class AskConsent(Message, frozen=True, tag="token:ask", tag_field="op"):
    """Have a client's request wait for a person (RFC 6749 §4.1.1), as a browser brought it. Anybody asks."""

    parameters: tuple[tuple[str, str], ...]
    """Names and values in order; what stands twice is refused by the daemon."""
    address: str = ""
    """Where the browser is."""

    def __repr__(self) -> str:
        """Without the client's state (rule 1)."""
        return f"AskConsent({[name for name, _ in self.parameters]})"


class AwaitConsent(Message, frozen=True, tag="token:await", tag_field="op"):
    """Ask what became of a request, for the browser that began it."""

    asked: str
    browser: str
    """What it is known by."""
    take: bool = False
    """Whether the browser goes on by the answer: then it is told this once."""

    def __repr__(self) -> str:
        """Without what the browser is known by (rule 1)."""
        return f"AwaitConsent({self.asked!r}, take={self.take})"


class Asking(Message, frozen=True, tag="asking", tag_field="is"):
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
    """µs since the epoch; nobody can answer it any more then."""
    browser: str = ""
    """What the browser is known by, told as the request begins."""

    def __repr__(self) -> str:
        """Without the two secrets (rule 1)."""
        return f"Asking({self.asked!r})"


class Onward(Message, frozen=True, tag="onward", tag_field="is"):
    """Where the browser goes on to: a redirect URI of the client, with a code or with why not."""

    to: str

    def __repr__(self) -> str:
        """Without the code (rule 1)."""
        return "Onward()"


class LookInPage(PageAsk, frozen=True, kw_only=True, tag="token:choose", tag_field="op"):
    """Ask what whoever is signed in with a browser can answer there to a request that it began."""

    asked: str
    browser: str
    """What the browser is known by."""

    def __repr__(self) -> str:
        """Without what the browser is known by (rule 1)."""
        return f"LookInPage({self.asked!r})"


class AnswerInPage(PageAsk, frozen=True, kw_only=True, tag="token:answer", tag_field="op"):
    """Answer a request on its page. An act of the person who is signed in with the browser that began it."""

    asked: str
    browser: str
    form: str
    """What a form of that page proves itself with."""
    answer: Literal["consent", "deny", "unmet"]
    """`unmet` where nobody can sign in as the client wants."""
    task: str = ""
    template: str = ""
    purpose: str = ""
    person: bool = False
    """Whether the client may act as the person."""

    def __repr__(self) -> str:
        """Without what proves anything (rule 1)."""
        return f"AnswerInPage({self.asked!r}, {self.answer!r})"


class RunningTask(Message, frozen=True, tag="running-task", tag_field="is"):
    """A task that a client can be let in to."""

    task: str
    purpose: str
    requester: str
    deadline: int
    """µs since the epoch."""


class OpenedBy(Message, frozen=True, tag="opened-by", tag_field="is"):
    """A template that a task can be started from."""

    template: str
    purpose: str
    seconds: int


class Choosing(Message, frozen=True, tag="choosing", tag_field="is"):
    """What a request's page offers besides what is asked."""

    terminal: bool
    """Whether it can be answered in a terminal too."""
    sign_in: str
    """Where its page sends people to sign in; empty where nobody does."""
    person: str
    """Who is signed in with this browser; empty for nobody."""
    met: bool
    """Whether they are signed in as the client wants."""
    form: str
    """What a form of the page proves itself with."""
    tasks: tuple[RunningTask, ...] = ()
    templates: tuple[OpenedBy, ...] = ()

    def __repr__(self) -> str:
        """Without what proves anything (rule 1)."""
        return f"Choosing(person={self.person!r}, met={self.met})"


# --- what a person answers -----------------------------------------------------------------------


class LookAtAsked(Message, frozen=True, tag="token:look", tag_field="op"):
    """Ask what waits under the code that a person's own browser shows. A person's act."""

    typed: str

    def __repr__(self) -> str:
        """Without the code (rule 1)."""
        return "LookAtAsked()"


class ConsentToClient(Message, frozen=True, tag="token:consent", tag_field="op"):
    """Let a client have tokens of a task that runs, or of one that is started. A person's act."""

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
        """Without the code (rule 1)."""
        return f"ConsentToClient({self.client!r}, {self.agent!r}, {self.task or self.template!r})"


class ConsentAsPerson(Message, frozen=True, tag="token:consent-person", tag_field="op"):
    """Let a client act as the person who says so, over the network API. A person's act."""

    typed: str
    client: str
    """As the person saw it: what waits has to be of it."""

    def __repr__(self) -> str:
        """Without the code (rule 1)."""
        return f"ConsentAsPerson({self.client!r})"


class DenyClient(Message, frozen=True, tag="token:deny", tag_field="op"):
    """Let a client have nothing. A person's act."""

    typed: str

    def __repr__(self) -> str:
        """Without the code (rule 1)."""
        return "DenyClient()"


class AskedDetail(Message, frozen=True, tag="asked", tag_field="is"):
    """A request that waits for a person, or waited."""

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


class AskToken(Message, frozen=True, tag="token:exchange", tag_field="op"):
    """Ask for a token (RFC 6749 §3.2), by exchange (RFC 8693), a code or a refresh token.

    A service asks by `client_credentials`.
    """

    form: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        """Without what it proves itself with (rule 2)."""
        return f"AskToken({[name for name, _ in self.form]})"


class GiveBackToken(Message, frozen=True, tag="token:give-back", tag_field="op"):
    """Give a token back that was issued to the client that asks (RFC 7009)."""

    form: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        """Without the token (rule 2)."""
        return f"GiveBackToken({[name for name, _ in self.form]})"


class IntrospectToken(Message, frozen=True, tag="token:introspect", tag_field="op"):
    """Ask what a token is worth (RFC 7662)."""

    form: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        """Without the token (rule 2)."""
        return f"IntrospectToken({[name for name, _ in self.form]})"


class ShowTokenJwks(Message, frozen=True, tag="token:jwks", tag_field="op"):
    """Ask for the keys that verify tokens. Anybody may read them."""


class ShowStatusList(Message, frozen=True, tag="token:status-list", tag_field="op"):
    """Ask for a status list token. Anybody may read it."""

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


class TokenGiven(Message, frozen=True, tag="token-given", tag_field="is"):
    """A token, signed (RFC 6749 §5.1, RFC 8693 §2.2.1)."""

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
        """Without the token (rule 2)."""
        return f"TokenGiven({self.token_type!r}, {self.expires_in})"


class Introspected(Message, frozen=True, tag="introspected", tag_field="is"):
    """What a token is worth, as JSON (RFC 7662 §2.2)."""

    claims: str


class Published(Message, frozen=True, tag="published", tag_field="is"):
    """What anybody may read: a document of keys as JSON, or a status list token."""

    text: str
