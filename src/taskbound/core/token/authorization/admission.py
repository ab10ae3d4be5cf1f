"""A client that was let in to one task, and the token by which it stays: for a task token lives five minutes.

1. An admission is one client's, for one task, at one resource, with one key or with none. It ends at the
   deadline that the task had when it began, or before that, and never begins again.
2. A refresh token is 256 bits of chance, and its SHA-256 is what is kept. It is used once and brings the
   next.
3. One that comes again is in two hands, and nobody can tell whose: the admission ends (RFC 9700 §4.14.2),
   also when both hands were its own client's. So it does when another client or another key brings it.
4. What it brings is never more than it was: the same resource, no other scope.
5. One without agent and task lets its client act as the person, with one key and by one token: it has no
   refresh token, and ends with that token's time, or with the sign-in that it rests on.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from enum import Enum
from typing import Final

from taskbound.core.clock import Instant
from taskbound.core.dataclass import dataclass
from taskbound.core.token.authorization.errors import (
    AdmissionEndedError,
    BadRefreshError,
    WiderRefreshError,
)

NEVER: Final = Instant(0)
PREFIX: Final = "adm"
"""What the names of admissions begin with."""
_REFRESH: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A client that was let in (rule 1)."""

    namespace: str
    id: str
    client: str
    agent: str
    """Empty where the client acts as the person (rule 5), as `task`."""
    task: str
    person: str
    """Who consented."""
    resource: str
    scope: tuple[str, ...]
    jkt: str
    """Thumbprint of its DPoP key; empty of a client that proved none: its tokens are bearer tokens."""
    begun: Instant
    until: Instant
    turn: int = 1
    """Which refresh token is the one that counts."""
    ended: Instant = NEVER
    why: str = ""
    version: int = 1
    session: str = ""
    """The sign-in that it rests on; empty for none (rule 5)."""

    @property
    def is_persons(self) -> bool:
        """Whether its client acts as the person (rule 5)."""
        return not self.agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """What is kept of a refresh token."""

    namespace: str
    digest: str
    admission: str
    turn: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """What a client brings beside its refresh token."""

    client: str
    resource: str = ""
    """Empty where it does not say."""
    scope: tuple[str, ...] = ()
    """None for all that it had."""
    jkt: str = ""
    """Thumbprint of the DPoP key that was proven."""


class Leak(Enum):
    """What shows that a refresh token is in other hands (rule 3); the values are what records say."""

    AGAIN = "a refresh token came twice"
    CLIENT = "another client brought its refresh token"
    KEY = "its refresh token came without its key"


def refresh_digest(token: str) -> str:
    """What is kept of a refresh token (rule 2).

    Raises:
        BadRefreshError: It is none.
    """
    if _REFRESH.fullmatch(token) is None:
        raise BadRefreshError("the refresh token is none")
    return hashlib.sha256(token.encode("ascii")).hexdigest()


def is_admission(name: str) -> bool:
    """Whether this names an admission, and no token that another one was exchanged for."""
    return name.startswith(f"{PREFIX}_")


def require_standing_admission(admission: Admission | None, now: Instant) -> None:
    """Go on only while it stands (rule 1).

    Raises:
        AdmissionEndedError: It has ended, or there is none.
    """
    if admission is None:
        raise AdmissionEndedError("the client was never let in")
    if admission.ended != NEVER:
        raise AdmissionEndedError(f"the client was let in until somebody ended it: {admission.why}")
    if now >= admission.until:
        raise AdmissionEndedError("the client was let in until then, and no longer")


def require_renewable(admission: Admission, brought: Renewal, now: Instant) -> None:
    """Go on only while it stands, and for no more than it had (rules 1 and 4).

    Raises:
        AdmissionEndedError: It has ended.
        WiderRefreshError: It is asked for more.
    """
    require_standing_admission(admission, now)
    if brought.resource and brought.resource != admission.resource:
        raise WiderRefreshError("the refresh token is for another resource")
    if not set(brought.scope) <= set(admission.scope):
        raise WiderRefreshError("the refresh token has fewer scopes")


def leak_of(admission: Admission, refresh: Refresh, brought: Renewal) -> Leak | None:
    """Whether what was brought is in other hands (rule 3); None where nothing shows that."""
    if brought.client != admission.client:
        return Leak.CLIENT
    if brought.jkt != admission.jkt:
        return Leak.KEY
    return Leak.AGAIN if refresh.turn != admission.turn else None


def admission_renewed(admission: Admission) -> Admission:
    """The same with its next refresh token (rule 2)."""
    return replace(admission, turn=admission.turn + 1, version=admission.version + 1)


def admission_ended(admission: Admission, now: Instant, why: str) -> Admission:
    """The same, ended; one that had ended stays as it ended (rule 1)."""
    if admission.ended != NEVER:
        return admission
    return replace(admission, ended=now, why=why, version=admission.version + 1)
