"""What is said to an SSH agent, read in one way only, and what it answers (draft-ietf-sshm-ssh-agent).

1. A message is a length of 4 bytes and a body of at least one byte, its type. The length is limited before
   anything of the body is waited for.
2. Two requests are read: which keys there are, and to sign with one of them. Each ends where it says that it
   does. Whatever else is asked, to add and to lock too, is refused without being read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable


_LENGTH: Final = 4
_LIST: Final = 11
_LISTED: Final = 12
_SIGN: Final = 13
_SIGNED: Final = 14
_FAILED: Final = 5


class BadAgentMessageError(ValueError):
    """What was said to the agent is no message of its protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListKeys:
    """Which keys are there?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignWith:
    """Sign this."""

    blob: bytes
    """The public key or certificate as it was listed."""
    data: bytes
    flags: int
    """2 for RSA with SHA-256, 4 for RSA with SHA-512."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherRequest:
    """Anything else (rule 2)."""

    number: int
    """Its type."""


def string(data: bytes) -> bytes:
    """A string of RFC 4251 §5."""
    return len(data).to_bytes(_LENGTH, "big") + data


def listed(keys: Iterable[tuple[bytes, str]]) -> bytes:
    """The answer to `ListKeys`, as it is sent: each key's blob and comment."""
    found = [string(blob) + string(comment.encode()) for blob, comment in keys]
    return string(bytes([_LISTED]) + len(found).to_bytes(4, "big") + b"".join(found))


def signed(signature: bytes) -> bytes:
    """The answer to `SignWith`, as it is sent."""
    return string(bytes([_SIGNED]) + string(signature))


FAILURE: Final = string(bytes([_FAILED]))
"""The answer to all that is refused, as it is sent."""


def take_message(buffer: bytearray, *, most: int) -> bytes | None:
    """The body of the first message that is whole, which is taken out; None where none is.

    Args:
        buffer: What was received and not yet taken.
        most: Bytes of a body.

    Raises:
        BadAgentMessageError: It has no body, or a longer one (rule 1).
    """
    if len(buffer) < _LENGTH:
        return None
    size = int.from_bytes(buffer[:_LENGTH], "big")
    if not 1 <= size <= most:
        raise BadAgentMessageError(f"a message of {size} bytes is none")
    if len(buffer) < _LENGTH + size:
        return None
    body = bytes(buffer[_LENGTH : _LENGTH + size])
    del buffer[: _LENGTH + size]
    return body


def parse_request(body: bytes) -> ListKeys | SignWith | OtherRequest:
    """What is asked by a message's body.

    Raises:
        BadAgentMessageError: It is not what its type says.
    """
    if not body:
        raise BadAgentMessageError("a message has no type")
    if body[0] not in {_LIST, _SIGN}:
        return OtherRequest(number=body[0])
    if body[0] == _LIST:
        _require_end(body, 1)
        return ListKeys()
    blob, at = _string(body, 1)
    data, at = _string(body, at)
    _require_end(body, at + 4)
    return SignWith(blob=blob, data=data, flags=int.from_bytes(body[at:], "big"))


def _string(body: bytes, at: int) -> tuple[bytes, int]:
    """The string that begins here, and where it says that it ends; the caller looks whether that is there."""
    begin = at + _LENGTH
    end = begin + int.from_bytes(body[at:begin], "big")
    return body[begin:end], end


def _require_end(body: bytes, at: int) -> None:
    if at != len(body):
        raise BadAgentMessageError("a message ends too early, or goes on after its end")
