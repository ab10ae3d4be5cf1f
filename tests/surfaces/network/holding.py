"""Holders of real tokens before a real API, and a daemon within the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from anyio.from_thread import start_blocking_portal

from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.flows.token import PersonTokenOrder
from taskbound.wire.jose import token_hash
from tests.proofs import CLIENT, proof
from tests.surfaces.api.test_operations import Station, station
from tests.surfaces.network.serving import Answer, Api, api
from tests.token_world import ISSUER, TokenWorld
from tests.tokens import Signer, es256
from tests.world import ANN

HOST = ISSUER.removeprefix("https://")
STRANGER = es256("stranger", seed=22)
_numbers = count()


def binding(signer: Signer = CLIENT) -> Binding:
    return Binding(kind=BindingKind.DPOP, thumbprint=signer.jwk.thumbprint)


class Holding:
    """One API, the daemon behind it, and whoever issues tokens."""

    def __init__(self, there: Api, place: Station, tokens: TokenWorld) -> None:
        self.there, self.place, self.tokens = there, place, tokens
        self.world = place.world

    def person(self, **changes: Any) -> str:
        """A token of Ann's for operations."""
        plain: dict[str, Any] = {
            "namespace": "default",
            "person": "ann",
            "audience": ISSUER,
            "binding": binding(),
        }
        return self.tokens.tokens.issue_person_token(PersonTokenOrder(**plain | changes), ANN).text

    def shown(self, verb: str, target: str, token: str, **claims: Any) -> dict[str, str]:
        """The headers that show a token with a proof of this request."""
        made = {
            "jti": f"jti-{next(_numbers)}",
            "htm": verb,
            "htu": ISSUER + target.partition("?")[0],
            "iat": self.world.clock.now() // 1_000_000,
            "ath": token_hash(token),
            **claims,
        }
        signer = made.pop("signer", CLIENT)
        return {"Authorization": f"DPoP {token}", "DPoP": proof(signer, **made)}

    def ask(self, verb: str, target: str, token: str, body: bytes | None = None, **headers: str) -> Answer:
        """The answer to a request that is shown rightly."""
        shown = {"Host": HOST, **self.shown(verb, target, token), **headers}
        return self.there.ask(verb, target, body, **shown)

    def say(self, verb: str, target: str, **headers: str) -> Answer:
        """The answer to a request with these headers."""
        return self.there.ask(verb, target, **{"Host": HOST, **headers})


@asynccontextmanager
async def _issuing(folder: Path, policy: str) -> AsyncIterator[tuple[Station, TokenWorld]]:
    async with station(folder, issuer=ISSUER, policy=policy) as place:
        with closing(TokenWorld(place.world.adapters.store, folder, world=place.world)) as tokens:
            tokens.keys.tend()
            place.daemon.feed.look()  # what stands before the test is no news
            yield place, tokens


@contextmanager
def held(folder: Path, *flags: str, policy: str = "") -> Iterator[Holding]:
    """An API whose daemon accepts access tokens; both run in an event loop of another thread."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(_issuing(folder, policy)) as (place, tokens),
        api(place.path, "--origin", ISSUER, *flags) as there,
    ):
        yield Holding(there, place, tokens)
