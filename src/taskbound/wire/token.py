"""Tokens, and the keys that sign them. No message here holds the text of a token."""

from __future__ import annotations

from taskbound.wire.frame import Message


class ListTokens(Message, frozen=True, tag="token:list", tag_field="op"):
    """Ask which tokens were issued, newest first."""

    task: str = ""
    """Of this task; empty for every one."""
    agent: str = ""
    """Of this agent; empty for every one."""
    limit: int = 50
    before: str = ""
    """The last of the page before; empty for the first page."""


class ShowToken(Message, frozen=True, tag="token:show", tag_field="op"):
    """Ask what one of them is."""

    token: str


class RevokeToken(Message, frozen=True, tag="token:revoke", tag_field="op"):
    """Revoke one. An act of the person whose it is, or of who owns the data directory."""

    token: str
    why: str = ""


class ListTokenKeys(Message, frozen=True, tag="token:key-list", tag_field="op"):
    """Ask for every key that signs tokens, or did."""

    look: bool = False
    """Whether the signer is asked if it could sign one now, which may take a moment."""


class RotateTokenKeys(Message, frozen=True, tag="token:key-rotate", tag_field="op"):
    """Take the next key into use, now. An act of who owns the data directory."""


class RevokeTokenKey(Message, frozen=True, tag="token:key-revoke", tag_field="op"):
    """Revoke a key, and with it every token that it signed. An act of who owns the data directory."""

    key: str
    why: str = ""


class TokenRow(Message, frozen=True, tag="token-row", tag_field="is"):
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


class TokenRows(Message, frozen=True, tag="token-rows", tag_field="is"):
    """Tokens, newest first."""

    rows: tuple[TokenRow, ...]
    more: bool
    """Whether a page follows."""


class TokenKeyRow(Message, frozen=True, tag="token-key-row", tag_field="is"):
    """One key that signs tokens, or did."""

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


class TokenKeyRows(Message, frozen=True, tag="token-key-rows", tag_field="is"):
    """Keys, in the order in which they were made."""

    rows: tuple[TokenKeyRow, ...]
    trouble: str = ""
    """Why no token can be signed now, where it was looked at; empty where one can."""
    advice: str = ""
    """What to do about that."""
