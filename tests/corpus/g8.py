"""The attack corpus of proofs, client assertions and issuers' keys: what of G8 a gate for a text can answer.

`g8.jsonl` has one case a line, ``{id, what, expect, why}`` and, where they differ from what is right:

1. *expect* is the code of the error, or ``ok``. Each case that is refused has one benign twin that is ``ok``
   (*twin_of* names the case).
2. *what* is ``dpop`` (a proof and the request that it came with), ``assertion`` (a client proves itself) or
   ``jwks`` (a document of an issuer's keys).
3. *header*, *jwk* and *claims* replace members of what is right; ``null`` leaves one out.
4. *request* replaces the request's ``method``, ``uri`` and ``nonce``; ``token`` is the access token that it
   carried, ``bound`` says to whom: ``client``, or ``other``.
5. *signer* is ``client``, ``other``, or ``hmac``: with the text of the proof's own key as a secret.
6. *at* is how many seconds after `iat` it is read; *copies* how many proofs the request has.
7. *keys* are the keys of a document, each a replacement of the one that is right; *repeat* is how often they
   stand there.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskbound.adapters.jose import JoserfcCheck
from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import TaskboundError
from taskbound.wire.jose import CLIENT_ASSERTION, Trust, parse_foreign_jwks, read_dpop
from tests.proofs import ADDRESS, CLIENT, bound, request
from tests.tokens import NOW, Signer, b64, es256
from tests.wire.jose.kinds import read_jws

FILE = Path(__file__).with_name("g8.jsonl")
OTHER = es256("client", seed=22)
US = "https://auth.example.com"
PROOF = {"jti": "4b1f", "htm": "POST", "htu": ADDRESS, "iat": NOW}
ASSERTION = {
    "iss": "agent:planner",
    "sub": "agent:planner",
    "aud": US,
    "jti": "9f",
    "iat": NOW,
    "exp": NOW + 60,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case; what is empty is as in one that is right."""

    id: str
    what: str
    expect: str
    why: str
    twin_of: str = ""
    header: dict[str, Any] = field(default_factory=dict)
    jwk: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    signer: str = "client"
    at: int = 0
    copies: int = 1
    keys: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    repeat: int = 1
    text: str = ""

    def fault(self) -> dict[str, Any]:
        """All that may differ from what is right."""
        named = ("header", "jwk", "claims", "request", "signer", "at", "copies", "keys", "repeat", "text")
        return {name: getattr(self, name) for name in named}


def cases() -> list[Case]:
    """All of them, in the order of the file."""
    return [Case(**json.loads(line)) for line in FILE.read_text(encoding="ascii").splitlines()]


def answer(case: Case) -> str:
    """The code of the error that it gets, or ``ok``."""
    try:
        match case.what:
            case "dpop":
                _read_proof(case)
            case "assertion":
                _read_assertion(case)
            case _:
                keys = [_merged(CLIENT.members, one) for one in case.keys] * case.repeat
                parse_foreign_jwks((case.text or json.dumps({"keys": keys})).encode())
    except TaskboundError as error:
        return error.code
    return "ok"


def _merged(right: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**right, **other}.items() if value is not None}


def _signed(case: Case, header: dict[str, Any], claims: dict[str, Any]) -> str:
    signer: Signer = OTHER if case.signer == "other" else CLIENT
    head, body = json.dumps(header).encode(), json.dumps(claims).encode()
    if case.signer != "hmac":
        return signer.raw(head, body)
    message = f"{b64(head)}.{b64(body)}"
    return f"{message}.{b64(hmac.digest(json.dumps(header['jwk']).encode(), message.encode(), 'sha256'))}"


def _read_proof(case: Case) -> None:
    jwk = _merged(CLIENT.numbers, case.jwk)
    header = _merged({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}, case.header)
    text = case.text or _signed(case, header, _merged(PROOF, case.claims))
    said = dict(case.request)
    if token := said.pop("token", ""):
        said["token"] = bound(OTHER if said.pop("bound", "client") == "other" else CLIENT, token)
    moment = Instant(seconds(NOW + case.at))
    read_dpop([text] * case.copies, request=request(**said), check=JoserfcCheck(), now=moment)


def _read_assertion(case: Case) -> None:
    header = _merged({"typ": CLIENT_ASSERTION.typ, "alg": "ES256", "kid": CLIENT.kid}, case.header)
    text = case.text or _signed(case, header, _merged(ASSERTION, case.claims))
    trust = Trust(issuer="agent:planner", audience=US, keys=(CLIENT.jwk,))
    moment = Instant(seconds(NOW + case.at))
    read_jws(text, kind=CLIENT_ASSERTION, trust=trust, check=JoserfcCheck(), now=moment)
