"""Messages about tokens and revocation."""

from __future__ import annotations

from taskbound.wire.frame import Message, Request, Response


class ListTokens(Request, frozen=True, tag="token:list", tag_field="op"):
    """List issued tokens, newest first."""

    task: str = ""
    """Of this task; empty for every one."""
    agent: str = ""
    """Of this agent; empty for every one."""
    limit: int = 50
    before: str = ""
    """The last of the page before; empty for the first page."""


class ShowToken(Request, frozen=True, tag="token:show", tag_field="op"):
    """Show one token."""

    token: str


class RevokeToken(Request, frozen=True, tag="token:revoke", tag_field="op"):
    """Revoke a token. Only the person to whom it belongs, or the data directory's owner, may."""

    token: str
    why: str = ""


class ListTokenKeys(Request, frozen=True, tag="token:key-list", tag_field="op"):
    """List all current and former keys of tokens."""

    look: bool = False
    """Whether the signer is asked if it could sign one now, which may take a moment."""


class RotateTokenKeys(Request, frozen=True, tag="token:key-rotate", tag_field="op"):
    """Put the next key of tokens into use now. Only the data directory's owner may."""


class RevokeTokenKey(Request, frozen=True, tag="token:key-revoke", tag_field="op"):
    """Revoke a key and every token that it signed. Only the data directory's owner may."""

    key: str
    why: str = ""


class TokenRow(Response, frozen=True, tag="token-row", tag_field="is"):
    """One token, without its text."""

    token: str
    """Its `jti`."""
    form: str
    """`task`, `person` or `transaction`."""
    state: str
    """`issued`, `revoked` or `expired`; `ended` where what it rests on is over or may do nothing now."""
    task: str
    agent: str
    subject: str
    actors: tuple[str, ...]
    """Who acts, the present one first."""
    audience: str
    binding: str
    """`jkt:…` or `x5t#S256:…`; empty for a bearer token."""
    issued: int
    """µs since the epoch, as all times."""
    expires: int
    key: str
    parent: str
    """The token that it was exchanged for."""
    action: str
    revoked: int | None
    why: str
    """Why it was revoked, or is worth nothing."""
    may_act: str
    """The agent that it is handed on to, as tokens call it; empty for none."""


class TokenRows(Response, frozen=True, tag="token-rows", tag_field="is"):
    """Tokens, newest first."""

    rows: tuple[TokenRow, ...]
    more: bool
    """Whether a page follows."""


class TokenKeyRow(Message, frozen=True, tag="token-key-row", tag_field="is"):
    """One current or former key of tokens."""

    key: str
    """Its `kid`."""
    state: str
    """`next`, `current`, `retired` or `revoked`."""
    published: bool
    """Whether it stands in the document of keys."""
    made: int
    used: int | None
    """Since when it signs."""
    why: str
    """Why it was revoked."""


class TokenKeyRows(Response, frozen=True, tag="token-key-rows", tag_field="is"):
    """Keys, in the order in which they were made."""

    rows: tuple[TokenKeyRow, ...]
    trouble: str = ""
    """Why no token can be signed now, where it was looked at; empty where one can."""
    advice: str = ""
    """What to do about that."""


class Stop(Request, frozen=True, tag="revocation:stop", tag_field="op"):
    """Set or lift the kill switch. Only a person outside any gateway or run may."""

    stopped: bool
    reason: str = ""


class ReadFeed(Request, frozen=True, tag="revocation:feed", tag_field="op"):
    """Read what ended, stopped or came back after a position of the log, waiting for it.

    A reader that begins names no mark, and gets the last ten minutes.
    """

    after: int = -1
    """The place through which everything was heard."""
    mark: str = ""
    """The mark of that position, as received with it; empty for a reader that begins."""
    limit: int = 1000
    """How many entries at most, to 1,000."""
    wait: int = 0
    """Milliseconds to wait for one, to 2,000: longer would outlive what an enforcement point may rest on."""


class FeedEntry(Message, frozen=True):
    """One thing that ended, stopped or came back (`core.revocation.feed`)."""

    place: int
    at: int
    """Microseconds since the epoch, by the clock of the daemon that recorded it."""
    about: str
    """`namespace`, `task`, `agent`, `person`, `admission`, `session`, `token` or `key`."""
    id: str
    """Empty for the whole namespace."""
    turn: str
    """`over`, `stopped` or `back`."""


class FeedRows(Response, frozen=True, tag="feed", tag_field="is"):
    """The entries after the position in log order: of the asking namespace, and of keys."""

    namespace: str
    entries: tuple[FeedEntry, ...]
    through: int
    """The place through which all records were looked at, whether they are entries or not; -1 for none."""
    mark: str
    """That place's mark, in hex: to be shown with the next question."""
    age: int
    """Microseconds since the daemon had seen all that was recorded; a fresh one says less than a second."""
    more: bool
    """Whether there are entries behind these already: ask on at once."""
