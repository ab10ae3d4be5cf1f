"""People's accounts at issuers, and signing in with one.

What a browser holds, and what an issuer sends back with it, stands in what is asked and answered here and in
no repr.
"""

from __future__ import annotations

from taskbound.wire.frame import Message
from taskbound.wire.network import PageAsk


class LinkAccount(Message, frozen=True, tag="person:account-link", tag_field="op"):
    """Say that an account at an issuer is a person's. An act of the data directory's owner."""

    person: str
    issuer: str
    """The issuer's short name."""
    subject: str


class UnlinkAccount(Message, frozen=True, tag="person:account-unlink", tag_field="op"):
    """Say that it is theirs no more: their act, or the data directory's owner's. It ends its sessions."""

    person: str
    issuer: str
    subject: str


class ListAccounts(Message, frozen=True, tag="person:account-list", tag_field="op"):
    """Ask which accounts are whose."""

    person: str = ""
    """Of one person; empty for all."""


class AccountRow(Message, frozen=True):
    """One account."""

    person: str
    issuer: str
    subject: str
    linked: int
    by: str


class AccountRows(Message, frozen=True, tag="accounts", tag_field="is"):
    """Accounts, by issuer and subject."""

    rows: tuple[AccountRow, ...]


class ListSessions(Message, frozen=True, tag="person:session-list", tag_field="op"):
    """Ask who is signed in with a browser."""

    person: str = ""
    """One person; empty for all."""


class SessionRow(Message, frozen=True):
    """Somebody who is signed in with a browser."""

    session: str
    person: str
    issuer: str
    subject: str
    authenticated: int
    """When they proved themselves; 0 where the issuer does not say."""
    acr: str
    began: int
    until: int


class SessionRows(Message, frozen=True, tag="sessions", tag_field="is"):
    """Sessions, the oldest first."""

    rows: tuple[SessionRow, ...]


class EndSession(Message, frozen=True, tag="person:session-end", tag_field="op"):
    """End a browser's session: its person's act, or the data directory's owner's."""

    session: str


class ClaimValue(Message, frozen=True):
    """A value of a claim, and the group of ours that it is."""

    value: str
    group: str


class SetIssuerGroups(Message, frozen=True, tag="agent:issuer-groups", tag_field="op"):
    """Say which values of an issuer's claim are which groups. An act of the data directory's owner."""

    name: str
    claim: str = ""
    """A JSON Pointer; empty to have the issuer put nobody in any group."""
    groups: tuple[ClaimValue, ...] = ()


class ShowSignIn(PageAsk, frozen=True, tag="sign-in:show", tag_field="op"):
    """Ask where people sign in, and who is signed in with this browser."""


class SignInShown(Message, frozen=True, tag="sign-in-shown", tag_field="is"):
    """Where people sign in, and who is."""

    issuers: tuple[str, ...]
    """Short names, in order."""
    person: str = ""
    """Who is signed in; empty for nobody."""
    issuer: str = ""
    """Where they did that."""
    seconds: int = 0
    """For how long they are signed in."""


class BeginSignIn(PageAsk, frozen=True, tag="sign-in:begin", tag_field="op"):
    """Begin a sign-in."""

    issuer: str = ""
    """Where, by its short name."""
    back: str = "/sign-in"
    """Where the browser goes then."""
    max_age: int = -1
    """Seconds that may have passed since they proved themselves; -1 for any."""
    acr: str = ""
    """How well they have to; empty for any."""


class SignInBegun(Message, frozen=True, tag="sign-in-begun", tag_field="is"):
    """A sign-in waits."""

    url: str
    """Where the browser goes."""
    state: str
    secret: str
    """What the browser holds until it is back."""
    seconds: int
    """How long it waits."""

    def __repr__(self) -> str:
        """Without what proves anything."""
        return f"SignInBegun({self.seconds} s)"


class TakeSignIn(PageAsk, frozen=True, tag="sign-in:take", tag_field="op"):
    """Bring what an issuer sent the browser back with."""

    issuer: str = ""
    """The issuer to whose address it came."""
    state: str = ""
    code: str = ""
    iss: str = ""
    error: str = ""
    secret: str = ""
    """What the browser holds of this sign-in."""

    def __repr__(self) -> str:
        """Without what proves anything."""
        return f"TakeSignIn({self.issuer!r}, error={self.error!r})"


class SignInTaken(Message, frozen=True, tag="sign-in-taken", tag_field="is"):
    """Somebody is signed in."""

    secret: str
    """What the browser holds from now on."""
    seconds: int
    """For how long."""
    back: str
    """Where it goes."""

    def __repr__(self) -> str:
        """Without the secret."""
        return f"SignInTaken({self.seconds} s)"


class EndSignIn(PageAsk, frozen=True, tag="sign-in:end", tag_field="op"):
    """Sign whoever it is out of this browser."""
