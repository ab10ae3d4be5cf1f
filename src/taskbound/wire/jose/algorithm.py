"""What signatures are made with, as data: each algorithm with the keys that it is for.

1. There are no others, and none with a secret that both sides know (RFC 8725bis §3.1).
2. ES256, Ed25519 and `EdDSA` are for what we and those who are registered here sign. RSA and the larger
   curves are for issuers whose keys nobody here chooses (RFC 7518 §3.1, the JWT-SVID standard §2.2): a kind
   of token says which it takes.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


class Algorithm(Enum):
    """One algorithm, by its name in `alg`."""

    ES256 = "ES256"
    ED25519 = "Ed25519"
    EDDSA = "EdDSA"
    ES384 = "ES384"
    ES512 = "ES512"
    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyForm:
    """How a key for an algorithm is written."""

    kty: str
    crv: str = ""
    """Empty for RSA."""
    size: int = 0
    """Bytes of each coordinate, and of each half of a signature; 0 for RSA, whose keys say it themselves."""

    @property
    def numbers(self) -> tuple[str, ...]:
        """The members that hold the key."""
        return {"EC": ("x", "y"), "OKP": ("x",)}.get(self.kty, ("n", "e"))


_P256: Final = KeyForm(kty="EC", crv="P-256", size=32)
_ED: Final = KeyForm(kty="OKP", crv="Ed25519", size=32)
_RSA: Final = KeyForm(kty="RSA")

FORMS: Final[Mapping[Algorithm, KeyForm]] = {
    Algorithm.ES256: _P256,
    Algorithm.ED25519: _ED,
    Algorithm.EDDSA: _ED,
    Algorithm.ES384: KeyForm(kty="EC", crv="P-384", size=48),
    Algorithm.ES512: KeyForm(kty="EC", crv="P-521", size=66),
    Algorithm.RS256: _RSA,
    Algorithm.RS384: _RSA,
    Algorithm.RS512: _RSA,
    Algorithm.PS256: _RSA,
    Algorithm.PS384: _RSA,
    Algorithm.PS512: _RSA,
}
"""The keys of each."""

OURS: Final = frozenset({Algorithm.ES256, Algorithm.ED25519, Algorithm.EDDSA})
"""What a key that is configured or registered here may be for."""
SPIFFE: Final = frozenset(Algorithm) - {Algorithm.ED25519, Algorithm.EDDSA}
"""The nine of the JWT-SVID standard."""
FOREIGN: Final = frozenset(Algorithm)
"""What an issuer of an organisation may sign with."""
