"""Messages between the passkey page and the daemon.

1. The page sends one strict JSON object, limited before it is read; unknown members are refused.
2. Bytes are base64url that re-encodes to itself. The browser states no origin: the page's server knows it.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from taskbound.core.action import Limits, parse_object
from taskbound.core.identity.person_key import PasskeyUnreadableError
from taskbound.wire.frame import Message
from taskbound.wire.jose.compact import decode_base64url

MOST_ASKED: Final = 16_384
"""Bytes of what a browser may say at once."""
_FLAT: Final = Limits(size=MOST_ASKED, depth=1, parts=1)
A = TypeVar("A")


class PageBegin(Message, frozen=True):
    """Ask for what is to be signed; works once."""

    token: str


class PageMade(Message, frozen=True):
    """Submit a passkey that was just made."""

    sitting: str
    client: str
    credential: str
    device: str


class PageSign(Message, frozen=True):
    """Submit a signature over the statement of one choice."""

    sitting: str
    choice: str
    client: str
    credential: str
    device: str
    signature: str


class PageChoice(Message, frozen=True):
    """One possible answer, and the statement that is signed for it."""

    name: str
    """`approve`, `deny`, `confirm` or `enroll`."""
    statement: str


class PageMake(Message, frozen=True):
    """How a passkey is to be made, before there is anything to sign."""

    challenge: str
    user: str
    without: tuple[str, ...] = ()
    """Passkeys that the person has."""


class PageShown(Message, frozen=True):
    """The content of the page."""

    sitting: str
    """Says that what follows comes from the page that was opened first."""
    title: str
    person: str
    text: str
    make: PageMake | None = None
    credential: str = ""
    """The passkey that signs; empty while it is to be made."""
    choices: tuple[PageChoice, ...] = ()


class PageTaken(Message, frozen=True):
    """The result in words; the page is over."""

    words: str


class PageFault(Message, frozen=True):
    """The error."""

    code: str
    message: str
    advice: str


def parse_page(raw: bytes, kind: type[A]) -> A:
    """Parses a browser's message (rule 1); raises MalformedError or PasskeyUnreadableError."""
    try:
        return msgspec.convert(parse_object(raw, limits=_FLAT), kind)
    except msgspec.ValidationError as error:
        raise PasskeyUnreadableError("the page does not say what is asked of it") from error


def parse_part(text: str) -> bytes:
    """Decodes bytes of a browser; raises PasskeyUnreadableError (rule 2)."""
    raw = decode_base64url(text)
    if raw is None:
        raise PasskeyUnreadableError("what the browser brings is not base64url that re-encodes to itself")
    return raw


def render_page(said: Message) -> bytes:
    """Returns the bytes of an answer to the page."""
    return msgspec.json.encode(said)
