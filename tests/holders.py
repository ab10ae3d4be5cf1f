"""Holders of task tokens before a real daemon: agents that get them by their own key.

holder = Holder(place.home)
token = holder.token(place.task)
headers = holder.shown(token, "POST", "/mcp/coder")
"""

from __future__ import annotations

import json
import socket
import time
from base64 import b64encode
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from msgspec import structs

from taskbound import __version__
from taskbound.core.token.exchange import GRANT, TASK_REFERENCE
from taskbound.flows.token import resource_of
from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY, DEFAULT_ISSUER
from taskbound.wire.authorization import AskToken, TokenGiven
from taskbound.wire.connection import Open
from taskbound.wire.envelope import Ask, Reply, Said, said_decoder
from taskbound.wire.frame import FrameBuffer, decode_frame, encode_frame
from taskbound.wire.jose import token_hash
from taskbound.wire.network import Shown
from taskbound.wiring.home import find_socket
from tests.proofs import CLIENT, proof
from tests.tokens import Signer

_ENDPOINT: Final = f"{DEFAULT_ISSUER}/oauth/token"
_ASSERTED: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DEADLINE: Final = 20.0
_numbers = count()


class NotGiven(AssertionError):  # noqa: N818 -- what it is
    """No token was given."""


def ask_as_api(path: Path, ask: Ask, shown: Shown | None) -> Any:
    """What the daemon answers to a request that came over the network."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(_DEADLINE)
        one.connect(str(path))
        buffer, found = FrameBuffer(), list[Reply]()
        one.sendall(encode_frame(Said(id=1, ask=Open(role="api", version=__version__))))
        one.sendall(encode_frame(Said(id=2, ask=ask, shown=shown)))
        while not any(reply.id == 2 for reply in found):
            chunk = one.recv(65536)
            if not chunk:
                raise ConnectionError(found)
            found += [decode_frame(said_decoder, body) for body in buffer.feed(chunk)]
        return next(reply.answer for reply in found if reply.id == 2)


def shown_with(token: str, verb: str, uri: str, *, key: Signer = CLIENT, **claims: Any) -> dict[str, str]:
    """The headers that show a token with a proof of this request by a key."""
    made: dict[str, Any] = {
        "jti": f"holder-{uuid4()}",  # other processes show proofs by the same key
        "htm": verb,
        "htu": uri,
        "iat": int(time.time()),
        "ath": token_hash(token),
        **claims,
    }
    return {"Authorization": f"DPoP {token}", "DPoP": proof(key, **made)}


class Holder:
    """Whoever has an agent's own key."""

    def __init__(self, home: Path, agent: str = "coder", *, origin: str = DEFAULT_GATEWAY) -> None:
        """Act for the agent of this data directory."""
        self._home = home
        self.agent = agent
        self.resource = resource_of(origin, agent)

    def _assertion(self) -> str:
        kept = {
            one.name: json.loads(one.read_text()) for one in self._home.rglob("agents/*") if one.is_file()
        }
        (kid,) = [name for name, each in kept.items() if each["agent"] == self.agent]
        private = serialization.load_pem_private_key(kept[kid]["key"].encode(), password=None)
        assert isinstance(private, EllipticCurvePrivateKey)
        now, name = int(time.time()), f"agent:{self.agent}"
        claims: dict[str, Any] = {
            "iss": name,
            "sub": name,
            "aud": DEFAULT_ISSUER,
            "iat": now,
            "exp": now + 60,
            "jti": f"assertion-{time.time_ns()}-{next(_numbers)}",
        }
        return Signer(private=private, kid=kid, alg="ES256").token("client-authentication+jwt", **claims)

    def answer(self, form: Mapping[str, str], *, key: Signer = CLIENT, certificate: bytes = b"") -> Any:
        """What the token endpoint answers to a form that the agent proves itself in.

        Args:
            form: The form.
            key: What it proves with DPoP.
            certificate: What it shows instead, DER.
        """
        proven = {"client_assertion_type": _ASSERTED, "client_assertion": self._assertion()}
        made = proof(key, jti=f"ask-{next(_numbers)}", htm="POST", htu=_ENDPOINT, iat=int(time.time()))
        ask = AskToken(form=tuple({**proven, **form}.items()))
        shown = Shown(method="POST", uri=_ENDPOINT, dpop=made)
        if certificate:
            shown = structs.replace(shown, dpop="", chain=(b64encode(certificate).decode(),))
        return ask_as_api(find_socket(self._home), ask, shown)

    def token(self, task: str, *, key: Signer = CLIENT, certificate: bytes = b"", **more: str) -> str:
        """A token of the task for the agent's own gateway, bound to a key or a certificate."""
        plain = {
            "grant_type": GRANT,
            "subject_token": task,
            "subject_token_type": TASK_REFERENCE,
            "resource": self.resource,
        }
        given = self.answer(plain | more, key=key, certificate=certificate)
        if not isinstance(given, TokenGiven):
            raise NotGiven(given)
        return given.access_token

    def shown(self, token: str, verb: str, **claims: Any) -> dict[str, str]:
        """The headers of a request to the agent's gateway."""
        return shown_with(token, verb, self.resource, **claims)
