"""A service before a real API, daemon and signer: what it is, what proves it, and what it asks."""

from __future__ import annotations

import json
import time
from itertools import count
from typing import Any

from taskbound.wire.connection import Done
from taskbound.wire.workload import AddService, AddServiceKey
from tests.proofs import CLIENT
from tests.surfaces.network.asking import BEARER, Asking
from tests.surfaces.network.serving import Answer
from tests.token_world import ISSUER
from tests.tokens import Signer, es256
from tests.wiring.running import client

AUDIENCE = "https://pay.example"
_numbers = count()


def key_of(seed: int) -> Signer:
    """A key that is named by its thumbprint."""
    made = es256("service", seed=seed)
    return Signer(private=made.private, kid=made.jwk.thumbprint, alg="ES256")


class Serving:
    """One service of the agent's namespace, whose owner is the agent's."""

    def __init__(
        self, there: Asking, name: str, *tools: str, seed: int, audience: str = "", space: str = "default"
    ) -> None:
        self.there, self.name, self.space = there, name, space
        self.audience = audience or f"https://{name}.example"
        self.key = key_of(seed)
        with client(there.socket) as one:
            one.ask(AddService(name=name, owner="alice", audience=self.audience, tools=tools), Done)
        self.add_key(self.key)

    def add_key(self, key: Signer) -> None:
        with client(self.there.socket) as one:
            one.ask(AddServiceKey(name=self.name, key=json.dumps(key.members)), Done)

    def assertion(self, *, signer: Signer | None = None, **claims: Any) -> str:
        """What the service proves itself with, once."""
        now = int(time.time())
        plain: dict[str, Any] = {
            "iss": f"service:{self.name}",
            "sub": f"service:{self.name}",
            "aud": ISSUER,
            "iat": now,
            "exp": now + 60,
            "jti": f"service-{next(_numbers)}",
        }
        return (signer or self.key).token("client-authentication+jwt", **plain | claims)

    def proven(self, **more: str) -> dict[str, str]:
        return {"client_assertion_type": BEARER, "client_assertion": self.assertion(), **more}

    def introspect(self, token: str, **more: str) -> Answer:
        return self.there.post("/oauth/introspect", self.proven(token=token) | more)

    def active(self, token: str) -> dict[str, Any]:
        """What a token is worth, as the service is told."""
        answer = self.introspect(token)
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json
        return found

    def ask(self, **more: str) -> Answer:
        """The answer to what asks for a token of its own; a parameter without a value is left out."""
        form = {"grant_type": "client_credentials", **self.proven(), **more}
        form = {name: value for name, value in form.items() if value}
        return self.there.post("/oauth/token", form, DPoP=self.there.dpop())

    def token(self, **more: str) -> str:
        answer = self.ask(**more)
        assert answer.status == 200, answer.body
        return str(answer.json["access_token"])

    def shown(self, target: str, token: str, signer: Signer = CLIENT) -> Answer:
        return self.there.shown(target, token, signer)
