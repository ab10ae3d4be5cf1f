"""What the page on which people use passkeys, and the daemon that serves it, say to each other.

1. What comes is one strict JSON object, limited before it is read; members that nobody knows refuse.
2. Bytes are base64url that re-encodes to itself; the browser names no origin: whoever serves the page
   knows it.
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
    """Bring a passkey that was just made."""

    sitting: str
    client: str
    credential: str
    device: str


class PageSign(Message, frozen=True):
    """Bring a signature over the statement of one choice."""

    sitting: str
    choice: str
    client: str
    credential: str
    device: str
    signature: str


class PageChoice(Message, frozen=True):
    """One thing that can be said, and the statement that is signed for it."""

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
    """What the page shows."""

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
    """What became of it, in words; the page is over."""

    words: str


class PageFault(Message, frozen=True):
    """What is wrong."""

    code: str
    message: str
    advice: str


def parse_page(raw: bytes, kind: type[A]) -> A:
    """What a browser says (rule 1).

    Raises:
        MalformedError: It can't be read as JSON, strictly.
        PasskeyUnreadableError: It is something else.
    """
    try:
        return msgspec.convert(parse_object(raw, limits=_FLAT), kind)
    except msgspec.ValidationError as error:
        raise PasskeyUnreadableError("the page does not say what is asked of it") from error


def parse_part(text: str) -> bytes:
    """Bytes that a browser brings (rule 2).

    Raises:
        PasskeyUnreadableError: They can't be read.
    """
    raw = decode_base64url(text)
    if raw is None:
        raise PasskeyUnreadableError("what the browser brings is not base64url that re-encodes to itself")
    return raw


def render_page(said: Message) -> bytes:
    """What the page is told."""
    return msgspec.json.encode(said)
