"""What OAuth's endpoints ask of the daemon, in the name of the client that a form proves.

1. A form goes on as it was read: names and values, each name once. The daemon alone says what it means.
2. The text of a token stands in what is asked and answered here and in no repr.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from taskbound.wire.frame import Message

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
