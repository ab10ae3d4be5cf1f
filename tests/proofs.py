"""DPoP proofs for tests: right ones, and whatever one wants signed instead."""

from __future__ import annotations

import json
from typing import Any

from taskbound.wire.jose import BoundToken, DpopRequest, token_hash
from tests.tokens import NOW, Signer, es256

ADDRESS = "https://api.example.com/tickets"
CLIENT = es256("client", seed=21)
TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"  # the access token of RFC 9449's examples


def bound(signer: Signer = CLIENT, token: str = TOKEN) -> BoundToken:
    """An access token that is bound to this key."""
    return BoundToken(digest=token_hash(token), jkt=signer.jwk.thumbprint)


def request(method: str = "POST", uri: str = ADDRESS, **more: Any) -> DpopRequest:
    """A request to the address."""
    return DpopRequest(method=method, uri=uri, **more)


def proof(
    signer: Signer = CLIENT,
    *,
    header: dict[str, Any] | None = None,
    jwk: dict[str, Any] | None = None,
    high: bool = False,
    **claims: Any,
) -> str:
    """A proof of the request; a member or claim that is `...` is left out."""
    key = {**signer.numbers, **(jwk or {})}
    named = {"typ": "dpop+jwt", "alg": signer.alg, "jwk": key, **(header or {})}
    said = {"jti": "4b1f", "htm": "POST", "htu": ADDRESS, "iat": NOW, **claims}
    head, body = (
        {name: value for name, value in one.items() if value is not ...}
        for one in ({**named, "jwk": _kept(named["jwk"])}, said)
    )
    return signer.raw(json.dumps(head).encode(), json.dumps(body).encode(), high=high)


def _kept(members: Any) -> Any:
    if not isinstance(members, dict):
        return members
    return {name: value for name, value in members.items() if value is not ...}
