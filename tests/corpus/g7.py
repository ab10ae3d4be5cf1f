"""The attack corpus of signed tokens, G7: how each token is made, and the one answer that it must get.

`g7.jsonl` has one case a line, ``{id, expect, why}`` and, where they differ from a token that is right:

1. *expect* is the code of the error, or ``ok``. Each case that is refused has one benign twin that is
   ``ok`` (*twin_of* names the case), so that refusing everything fails too.
2. *key* is what signs and what is trusted: ``es256`` unless said otherwise, ``ed25519``, ``eddsa``.
3. *header* and *payload* are the texts that are signed, byte for byte; *payload_hex* where they are no text.
4. *signer* says what stands where the signature belongs: ``high`` is the other `s`; ``hmac:`` an HMAC with
   the public key in some encoding; ``rs:r:s`` two numbers; ``zeros:n`` so many bytes; ``other`` another
   key's.
5. *form* is how the segments become one text; ``{h_bit}`` is a segment with an unused bit set.
6. *kind* is ``evidence`` unless said otherwise; ``closed`` takes no undeclared claim, ``strict`` wants one.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from taskbound.core.clock import hours
from taskbound.wire.jose import EVIDENCE, ClaimForm, TokenKind
from tests.tokens import CLAIMS, P256_N, Signer, b64, ed25519, es256

FILE = Path(__file__).with_name("g7.jsonl")
SIGNERS = {
    "es256": es256("tickets-1"),
    "ed25519": ed25519("tickets-2"),
    "eddsa": ed25519("tickets-3", seed=8, alg="EdDSA"),
}
KINDS = {
    "evidence": EVIDENCE,
    "closed": TokenKind(typ="closed+jwt", lifetime=hours(2)),
    "strict": TokenKind(typ="strict+jwt", lifetime=hours(2), required={"task": ClaimForm.TEXT}),
}
_ORDER = 2**252 + 27742317777372353535851937790883648493
_NUMBERS = {
    "n": P256_N,
    "n+1": P256_N + 1,
    "half": P256_N // 2,
    "half+1": P256_N // 2 + 1,
    "max": 2**256 - 1,
}
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case; what is empty is as in a token that is right."""

    id: str
    expect: str
    why: str
    twin_of: str = ""
    key: str = "es256"
    header: str = ""
    payload: str = ""
    payload_hex: str = ""
    signer: str = ""
    form: str = "{h}.{p}.{s}"
    kind: str = "evidence"

    @property
    def signing(self) -> Signer:
        """Whose token it is."""
        return SIGNERS[self.key]

    @property
    def text(self) -> str:
        """The token."""
        key = self.signing
        usual = {"alg": key.alg, "kid": key.kid, "typ": KINDS[self.kind].typ}
        header = (self.header or json.dumps(usual)).encode()
        payload = bytes.fromhex(self.payload_hex) or (self.payload or json.dumps(CLAIMS)).encode()
        h, p = b64(header), b64(payload)
        s = b64(_signature(key, self.signer, f"{h}.{p}".encode()))
        values = {"h": h, "p": p, "s": s, "s_": s[:4], "s_plus": s[:-4] + "+/+/", "dots": "." * 1_000_000}
        if "_bit}" in self.form:
            values |= {f"{name}_bit": _bit(values[name]) for name in "hps" if f"{{{name}_bit}}" in self.form}
        if "{big}" in self.form:
            values["big"] = "A" * 50_000_000
        return self.form.format_map(values)


def cases() -> list[Case]:
    """All of them, in the order of the file."""
    return [Case(**json.loads(line)) for line in FILE.read_text(encoding="utf-8").splitlines()]


def _bit(segment: str) -> str:
    """The segment with an unused bit of its last character set, where it has any."""
    assert len(segment) % 4, "a segment without unused bits"
    return segment[:-1] + _ALPHABET[_ALPHABET.index(segment[-1]) | 1]


def _signature(key: Signer, how: str, message: bytes) -> bytes:
    right = key.sign(message)
    first, second = right[:32], right[32:]
    match how.split(":"):
        case ["high"]:
            made = key.sign(message, high=True)
        case ["hmac", encoding]:
            made = hmac.digest(_encoded(key, encoding), message, "sha256")
        case ["rs", r, s]:
            made = _number(r) + _number(s)
        case ["zeros", count]:
            made = bytes(int(count))
        case ["der"]:
            made = encode_dss_signature(int.from_bytes(first), int.from_bytes(second))
        case ["other"]:
            other = es256(seed=99) if key.alg == "ES256" else ed25519(seed=99)
            made = other.sign(message)
        case ["s-plus-order"]:
            made = first + (int.from_bytes(second, "little") + _ORDER).to_bytes(32, "little")
        case ["s-order"]:
            made = first + _ORDER.to_bytes(32, "little")
        case ["neutral"]:
            made = b"\x01" + bytes(63)
        case _:
            assert not how, how
            made = right
    return made


def _number(text: str) -> bytes:
    return (_NUMBERS[text] if text in _NUMBERS else int(text)).to_bytes(32)


def _encoded(key: Signer, how: str) -> bytes:
    assert isinstance(key.private, EllipticCurvePrivateKey)
    public = key.private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {
        "pem": pem,
        "pem-stripped": pem.strip(),
        "pem-prefixed": b"\n" + pem,
        "pem-suffixed": pem + b"\n",
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(key.members).encode(),
        "point": public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        "ssh": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "empty": b"",
    }[how]
