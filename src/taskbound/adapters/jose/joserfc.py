"""Signatures of tokens, by `joserfc`: it is given a key and bytes, and computes what a signature is worth.

1. The library reads no token: a second reader's idea of a header has no part in the answer. What is verified
   is what the gate judged, header and payload encoded again, and they must be the text that came.
2. The algorithm is the key's. The library is asked for that one, by name, and for no other.
3. A key is prepared once: that takes longer than a verification. A thousand are kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from taskbound.wire.jose import TokenUnprovenError, encode_base64url

if TYPE_CHECKING:
    from joserfc._rfc7515.model import JWSAlgModel  # the type of what the registry holds

    from taskbound.wire.jose import Compact, Jwk


_KEPT: Final = 1_024
"""Public keys that are kept ready; the one that was used longest ago goes first."""


class JoserfcCheck:
    """Implements `SignatureCheck`."""

    def verify(self, compact: Compact, key: Jwk) -> None:
        """Raises TokenUnprovenError unless the key made the signature."""
        judged = f"{encode_base64url(compact.header)}.{encode_base64url(compact.payload)}".encode("ascii")
        if judged != compact.signed:
            raise TokenUnprovenError("what was read is not what was signed")  # 1
        try:
            imported, algorithm = _prepared(key)
            right = algorithm.verify(judged, compact.signature, imported)  # 2
        except (JoseError, ValueError) as error:
            raise TokenUnprovenError("the signature is not the key's over what the token says") from error
        if not right:
            raise TokenUnprovenError("the signature is not the key's over what the token says")


@lru_cache(maxsize=_KEPT)
def _prepared(key: Jwk) -> tuple[ECKey | OKPKey | RSAKey, JWSAlgModel]:
    members: dict[str, str | list[str]] = {**key.members}
    kinds: dict[str | list[str], type[ECKey | OKPKey | RSAKey]] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}
    return kinds[members["kty"]].import_key(members), JWSRegistry.algorithms[key.algorithm.value]
