"""Signatures of tokens, by `joserfc`: it is given one key, one algorithm and what our own gate let through.

It reads the token a second time. Where it sees another header or another payload than the gate did, one
of the two is wrong, and the token proves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from taskbound.core.action import parse_object
from taskbound.wire.jose import Algorithm, TokenUnprovenError

if TYPE_CHECKING:
    from joserfc._rfc7515.model import JWSAlgModel  # the type of the method that is replaced

    from taskbound.wire.jose import Compact, Jwk

__all__ = ["JoserfcCheck"]


class _One(jws.JWSRegistry):
    """One algorithm and no other, by name; its limits are above the gate's, which come first."""

    max_header_length = 1_024
    max_payload_length = 1_048_576
    max_signature_length = 2_048

    def __init__(self, algorithm: Algorithm) -> None:
        super().__init__(algorithms=[algorithm.value])

    def get_alg(self, name: str) -> JWSAlgModel:
        """The one algorithm; the library's own method warns of `EdDSA`, whose curve our keys do fix.

        Raises:
            TokenUnprovenError: Another is asked for.
        """
        if self.allowed is None or name not in self.allowed:
            raise TokenUnprovenError("the signature is of another algorithm than its key")
        return self.algorithms[name]


class JoserfcCheck:
    """The `SignatureCheck` of our servers."""

    def verify(self, compact: Compact, key: Jwk) -> None:
        """Return only when the signature is the key's.

        Raises:
            TokenUnprovenError: It is not, or the library can't say.
        """
        try:
            seen = jws.deserialize_compact(compact.text, _imported(key), registry=_One(key.algorithm))
        except (JoseError, ValueError) as error:
            raise TokenUnprovenError("the signature is not the key's over what the token says") from error
        if seen.payload != compact.payload or seen.headers() != parse_object(compact.header):
            raise TokenUnprovenError("two readers see two tokens in this text")


def _imported(key: Jwk) -> ECKey | OKPKey | RSAKey:
    members: dict[str, str | list[str]] = {**key.members}
    match members["kty"]:
        case "EC":
            return ECKey.import_key(members)
        case "OKP":
            return OKPKey.import_key(members)
        case _:
            return RSAKey.import_key(members)
