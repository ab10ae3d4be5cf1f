"""An agent with its own key before a real API and a daemon within the test, whose clock moves when told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from taskbound.adapters.keys.file import AgentKeyFiles
from taskbound.core.token.exchange import GRANT, TASK_REFERENCE
from taskbound.flows.identity.agent import AgentKeys
from taskbound.surfaces.api.auth.client import ClientGrants
from taskbound.surfaces.api.auth.oauth import exchanges
from tests.proofs import CLIENT, proof
from tests.surfaces.network.holding import HOST, Holding, held
from tests.surfaces.network.serving import Answer
from tests.token_world import ISSUER
from tests.world import ANN

BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_numbers = count()


class Acting:
    """Holders, and agents with keys that a signer keeps; tokens are signed within the test."""

    def __init__(self, one: Holding, folder: Path) -> None:
        self.one, self.world, self.there = one, one.world, one.there
        signer = folder / "signer"
        signer.mkdir(mode=0o700)
        files = AgentKeyFiles(signer, now=lambda: self.world.clock.at / 1_000_000)
        self.keys = AgentKeys(self.world.adapters, files, audience=ISSUER)
        self.keys.renew("default", "coder", actor=ANN, owns=True)
        daemon = one.place.daemon
        daemon.token.issuing = one.tokens.tokens
        daemon.exchanges = exchanges(daemon)
        daemon.network.grants = ClientGrants(self.world.adapters, one.tokens.tokens)

    def proven(self, agent: str = "coder", **more: str) -> dict[str, str]:
        """The parameters that prove an agent, once."""
        assertion = self.keys.assertion("default", agent)
        return {"client_assertion_type": BEARER, "client_assertion": assertion, **more}

    def form(self, subject: str, kind: str = TASK_REFERENCE, **more: str) -> dict[str, str]:
        """What asks for a token; a parameter without a value is left out."""
        told = {
            "grant_type": GRANT,
            "subject_token": subject,
            "subject_token_type": kind,
            "resource": ISSUER,
            **self.proven(),
            **more,
        }
        return {name: value for name, value in told.items() if value}

    def dpop(self, target: str = "/oauth/token", **claims: Any) -> str:
        """A proof of a form's request by the client's key."""
        made = {
            "jti": f"act-{next(_numbers)}",
            "htm": "POST",
            "htu": ISSUER + target,
            "iat": self.world.clock.now() // 1_000_000,
            **claims,
        }
        return proof(made.pop("signer", CLIENT), **made)

    def post(self, target: str, form: Mapping[str, str], **headers: str) -> Answer:
        """The answer to a form."""
        told = {"Host": HOST, "Content_Type": "application/x-www-form-urlencoded", **headers}
        return self.there.ask("POST", target, urlencode(form).encode(), **told)

    def exchange(self, form: Mapping[str, str]) -> Answer:
        """The answer to a form that asks for a token, with a proof of the client's key."""
        return self.post("/oauth/token", form, DPoP=self.dpop())


@contextmanager
def acted(folder: Path, *flags: str, policy: str = "") -> Iterator[Acting]:
    """An API whose daemon issues access tokens and verifies agents' identities."""
    with held(folder, *flags, policy=policy) as one:
        yield Acting(one, folder)


def in_loop(one: Holding, work: Callable[[], None]) -> None:
    """Do this in the daemon's own loop, and go on when it is done."""

    async def done() -> None:
        work()

    asyncio.run_coroutine_threadsafe(done(), one.place.daemon.loop).result(20)
