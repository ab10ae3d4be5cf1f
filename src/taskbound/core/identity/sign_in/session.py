"""Who is signed in with a browser: for eight hours at most, and as long as what it rests on stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import hours
from taskbound.core.dataclass import dataclass
from taskbound.core.identity.sign_in.errors import NotSignedInError

if TYPE_CHECKING:
    from taskbound.core.clock import Instant


LASTS: Final = hours(8)
"""How long a session, and a membership by claim, lasts at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is signed in with a browser."""

    namespace: str
    id: str
    secret: str
    """SHA-256 of what the browser holds."""
    person: str
    issuer: str
    subject: str
    authenticated: Instant
    acr: str
    began: Instant
    until: Instant


def require_rests(session: Session | None, now: Instant) -> Session:
    """The session, while its time lasts.

    Raises:
        NotSignedInError: There is none, or its time is over.
    """
    if session is None or now >= session.until:
        raise NotSignedInError("nobody is signed in with this browser")
    return session
