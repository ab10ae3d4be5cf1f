"""Events of upstream servers' secrets and tokens; see `core.audit.events`."""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSecretSet:
    """A slot of a server was filled, or emptied; the value is known to the egress alone."""

    kind: ClassVar[str] = "upstream-secret-set"
    upstream: str
    server: str
    """Digest of the identity that it was sealed for."""
    slot: str
    number: int
    sealed: str
    """SHA-256 of what was sealed, in hexadecimal; empty when the value was taken away."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTokenTold:
    """The egress asked for a token for an upstream server, got it or ended it; nothing of it is here."""

    kind: ClassVar[str] = "upstream-token-told"
    upstream: str
    server: str
    """Digest of the server's identity, of which the client and its authorization server are part."""
    token: str
    """The egress' own name for it, made up before it was asked for."""
    state: str
    """`asked`, before anybody was asked; then `given` or `refused`. Then `unconfirmed`, once, where the
    first attempt to give it back failed and it is tried again. A given one ends as `revoked`, `lapsed`
    (its life was over first) or `left` (it lives on until then, and nobody here has it any more)."""
    tasks: tuple[str, ...]
    """For which task; several where one process had more than one and no call had been made yet (64 at most);
    none for a person's look."""
    until: int = 0
    """When its life is over, by its issuer's word: µs since the epoch; 0 where none was given."""
    why: str = ""
    """Why it was refused or is left: an error's code."""
