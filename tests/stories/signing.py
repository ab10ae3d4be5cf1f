"""A world whose people sign in, and the issuer that lets them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from taskbound.core.clock import Instant
from taskbound.core.decision import Allowance
from taskbound.core.identity.issuer import parse_identity_issuer
from taskbound.core.identity.sign_in import (
    UNSAID,
    NotSignedInError,
    PersonClaims,
    SignInDeniedError,
    SignInReturn,
    challenge_of,
)
from taskbound.flows.identity import register_person
from taskbound.flows.identity.account import add_identity_issuer, link_account, unlink_account
from taskbound.flows.identity.sign_in import SignIns
from taskbound.flows.means import Actor
from taskbound.wire.network import Shown
from tests.world import ANN, World

if TYPE_CHECKING:
    from taskbound.core.identity import Group
    from taskbound.core.identity.issuer import IdentityIssuer
    from taskbound.flows.identity.sign_in import NewSession, SignedIn
    from taskbound.ports.identity import AuthorizationParameters
    from taskbound.ports.store import Store


SPACE = "default"
ORIGIN = "https://us.example"
BOB = Actor(name="bob", proof="peer-uid:1001 (unproven)")
HERE = "192.0.2.1"


@dataclass
class Corp:
    """An issuer whose people are let in: it keeps to PKCE, the redirect URI, and one use of a code."""

    codes: dict[str, tuple[AuthorizationParameters, PersonClaims]] = field(default_factory=dict)
    asked: dict[str, AuthorizationParameters] = field(default_factory=dict)
    promises: bool = True

    def address(
        self, issuer: IdentityIssuer, wanted: AuthorizationParameters, now: Instant
    ) -> tuple[str, bool]:
        del now
        self.asked[wanted.state] = wanted
        return f"{issuer.issuer}/auth?{urlencode({'state': wanted.state})}", self.promises

    def trouble(self, issuer: IdentityIssuer, now: Instant) -> str:
        del issuer, now
        return ""

    def redeem(
        self, issuer: IdentityIssuer, code: str, verifier: str, redirect: str, now: Instant
    ) -> PersonClaims:
        del issuer, now
        wanted, said = self.codes.pop(code, (None, None))
        if (
            wanted is None
            or said is None
            or (challenge_of(verifier), redirect) != (wanted.challenge, wanted.redirect)
        ):
            raise SignInDeniedError("the issuer does not take its code back: `invalid_grant`")
        return said

    def let_in(
        self, state: str, subject: str = "s-ann", *, at: int = UNSAID, acr: str = "", **claims: Any
    ) -> str:
        """A code for whoever came with this state."""
        wanted = self.asked[state]
        nonce = claims.pop("nonce", wanted.nonce)
        code = f"code-{len(self.codes)}-{len(self.asked)}"
        said = PersonClaims(subject=subject, nonce=nonce, authenticated=Instant(at), acr=acr, claims=claims)
        self.codes[code] = (wanted, said)
        return code


class Lobby:
    """A world whose people sign in."""

    def __init__(self, store: Store, *, allowance: Allowance | None = None) -> None:
        self.world = World(store=store)
        self.world.settle_in()
        register_person(self.world.adapters, SPACE, "bob", uid=1001, actor=ANN)
        self.corp = Corp()
        self.sign_ins = SignIns(self.world.adapters, self.corp, origin=ORIGIN, allowance=allowance)
        self.add("corp")
        self.link("ann", "s-ann")

    def add(self, name: str, **more: Any) -> None:
        plain: dict[str, Any] = {"issuer": f"https://{name}.example", "audience": "us", "use": "people"}
        issuer = parse_identity_issuer(SPACE, name, **plain | more)
        add_identity_issuer(self.world.adapters, issuer, actor=ANN, owns=True)

    def link(self, person: str, subject: str, *, actor: Actor = ANN, owns: bool = True) -> None:
        link_account(
            self.world.adapters, SPACE, person, issuer="corp", subject=subject, actor=actor, owns=owns
        )

    def unlink(self, person: str = "ann", subject: str = "s-ann", **more: Any) -> None:
        plain: dict[str, Any] = {"actor": ANN, "owns": True}
        unlink_account(self.world.adapters, SPACE, person, issuer="corp", subject=subject, **plain | more)

    def begin(self, **more: Any) -> tuple[str, str]:
        """State and secret of a sign-in that waits."""
        plain: dict[str, Any] = {"back": "/sign-in", "address": HERE}
        begun = self.sign_ins.begin(SPACE, "corp", **plain | more)
        assert dict(parse_qsl(urlsplit(begun.url).query))["state"] == begun.state
        return begun.state, begun.secret

    def come_back(self, state: str, secret: str, code: str, **more: Any) -> NewSession:
        brought = SignInReturn(issuer="corp", code=code, iss="https://corp.example", **more)
        proven = self.sign_ins.prove(state, brought, secret, address=HERE)
        return self.sign_ins.enter(proven, address=HERE)

    def enter(
        self, subject: str = "s-ann", *, wants: dict[str, Any] | None = None, **said: Any
    ) -> NewSession:
        state, secret = self.begin(**wants or {})
        return self.come_back(state, secret, self.corp.let_in(state, subject, **said))

    def person(self, entered: NewSession) -> SignedIn:
        return self.sign_ins.person(shown(entered.secret))

    def out(self, entered: NewSession) -> None:
        with pytest.raises(NotSignedInError):
            self.person(entered)

    def group(self, name: str) -> Group:
        with self.world.store.read() as seen:
            return next(one for one in seen.identities.groups(SPACE) if one.name == name)

    def codes(self) -> list[str]:
        return [one["code"] for one in self.world.events("sign-in-refused")]


def shown(browser: str) -> Shown:
    return Shown(method="GET", uri=ORIGIN, browser=browser)
