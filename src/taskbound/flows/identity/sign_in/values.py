"""What a sign-in is on its way, and who is signed in."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.identity.oidc import IdentityIssuer
    from taskbound.core.identity.proof import AccountProof
    from taskbound.core.identity.sign_in import SaidOfPerson, Session, SignIn
    from taskbound.flows.means import Actor, Moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A sign-in that waits, and what its browser is told."""

    url: str = field(repr=False)
    """Where the browser goes."""
    state: str = field(repr=False)
    secret: str = field(repr=False)
    """What the browser holds until it is back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What an issuer said for a sign-in, believed."""

    waiting: SignIn
    issuer: IdentityIssuer
    said: SaidOfPerson


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """Somebody was signed in."""

    session: Session
    secret: str = field(repr=False)
    """What the browser holds from now on: namespace and secret."""
    back: str
    moved: list[Moved]
    """Tasks that were paused, as somebody is in a group no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """Who is signed in with a browser."""

    namespace: str
    actor: Actor
    proof: AccountProof
    acr: str
    """How well they proved themselves, in the issuer's words; empty where it did not say."""
    authenticated: Instant
    """When they did; `UNSAID` where the issuer did not say."""
    session: str
    until: Instant
