"""The attack corpus G7 for the kinds of token that came later: tokens of ours and of issuers outside.

`g7-kinds.jsonl` has one case a line, ``{id, kind, expect, why}`` and, where they differ from a token that is
right:

1. *kind* names a sample of `tests/wire/jose/kinds.py`; *expect* is the code of the error, or ``ok``. Each
   case that is refused has one benign twin that is ``ok`` (*twin_of* names the case).
2. *key* is what signs and is trusted: ``ES256`` unless said otherwise, ``RS256``, ``PS256``, ``ES384``.
3. *header* and *claims* replace members; ``null`` leaves one out. *again* is put in front of the claims as it
   is: it makes a member stand twice.
4. *signer* says what stands where the signature belongs: ``other`` another key's; ``high`` the other `s`;
   ``zeros``; ``der``; ``hmac:`` an HMAC with the public key as PEM, DER or JWK.
5. *form* is how the segments become one text; *at* is how many seconds after now it is read.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from taskbound.core.errors import TaskboundError
from tests.tokens import CLAIMS, NOW, Signer, b64, ecdsa, es256, rsa
from tests.wire.jose.kinds import SAMPLES

FILE = Path(__file__).with_name("g7-kinds.jsonl")
KINDS = {sample.name: sample for sample in SAMPLES}
SIGNERS = {"ES256": es256("k1"), "RS256": rsa("k1"), "PS256": rsa("k1", "PS256"), "ES384": ecdsa("k1")}
OTHERS = {"ES256": es256("k1", 99), "RS256": rsa("k1", bits=2_304), "ES384": ecdsa("k1", 99)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case; what is empty is as in a token that is right."""

    id: str
    kind: str
    expect: str
    why: str
    twin_of: str = ""
    key: str = "ES256"
    header: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    again: str = ""
    signer: str = ""
    form: str = "{h}.{p}.{s}"
    at: int = 0

    def fault(self) -> tuple[object, ...]:
        """All that may differ from a token that is right."""
        return (self.header, self.claims, self.again, self.signer, self.form, self.at)

    @property
    def text(self) -> str:
        """The token."""
        sample, key = KINDS[self.kind], SIGNERS[self.key]
        header = {"alg": key.alg, "kid": key.kid, "typ": sample.kind.typ, **self.header}
        claims = {**CLAIMS, **sample.claims, **self.claims}
        h, p = (
            json.dumps({name: value for name, value in one.items() if value not in (None, ...)})
            for one in (header, claims)
        )
        if self.again:
            p = "{" + self.again + ", " + p[1:]
        head, body = b64(h.encode()), b64(p.encode())
        made = _signature(key, self.signer, f"{head}.{body}".encode())
        return self.form.format(h=head, p=body, s=b64(made), big="A" * 50_000)


def cases() -> list[Case]:
    """All of them, in the order of the file."""
    return [Case(**json.loads(line)) for line in FILE.read_text(encoding="ascii").splitlines()]


def answer(case: Case) -> str:
    """The code of the error that it gets, or ``ok``."""
    try:
        KINDS[case.kind].read(case.text, SIGNERS[case.key], now=NOW + case.at)
    except TaskboundError as error:
        return error.code
    return "ok"


def _signature(key: Signer, how: str, message: bytes) -> bytes:
    right = key.sign(message)
    half = len(right) // 2
    if how.startswith("hmac:"):
        return hmac.digest(_encoded(key, how.removeprefix("hmac:")), message, "sha256")
    if how == "other":
        return OTHERS[key.alg].sign(message)
    if how == "der":
        return encode_dss_signature(int.from_bytes(right[:half]), int.from_bytes(right[half:]))
    return {
        "": right,
        "high": key.sign(message, high=True),
        "zeros": bytes(len(right)),
        "short": right[:-1],
        "long": right + b"\0",
        "front": b"\0" + right,
    }[how]


def _encoded(key: Signer, how: str) -> bytes:
    public = key.private.public_key()
    return {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(key.members).encode(),
    }[how]
