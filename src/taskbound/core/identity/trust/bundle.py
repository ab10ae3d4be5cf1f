"""A trust bundle: the authorities of one trust domain, read strictly from its JSON form.

Source: SPIFFE Trust Domain and Bundle §4; JWT-SVID §5, X509-SVID §6.

1. One JSON object with `keys`, a list. Without `keys` it is no bundle: what is half there is never taken
   for a bundle that was emptied.
2. An entry counts by its `use`: `x509-svid` with a certificate, `jwt-svid` with a `kid`. Any other use or
   key type, an authority without its certificate or without its `kid`, is passed over: it makes nobody
   believed.
3. An entry with a private member spoils the bundle: whoever published it has lost a key. So do two keys of
   one `kid`.
4. The bundle doesn't name its domain. That comes from who configured it, and bundles are never merged.
5. No authority of a kind: no SVID of that kind counts. No authority at all: none counts.
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits, canonical, escape_text, parse_object
from taskbound.core.action.errors import TooLargeError, TooManyPartsError
from taskbound.core.clock import Duration, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.identity.trust.errors import BadBundleError, BundleSizeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue


MOST_BYTES: Final = 262_144
"""Bytes of a bundle's document: some hundred authorities."""
MOST_AUTHORITIES: Final = 64
"""Of each kind."""
_LIMITS: Final = Limits(size=MOST_BYTES, depth=4, parts=512)
_LARGEST: Final = 16_384
_LAST: Final = 2**53 - 1
_LONGEST_HINT: Final = 7 * 86_400
_SECRET: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
_TYPES: Final = frozenset({"EC", "RSA"})
_PUBLIC: Final = ("alg", "crv", "e", "kid", "kty", "n", "x", "y")
_SHOWN: Final = 64
_UNSAID: Final = Duration(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The authorities of one trust domain, as they were published."""

    x509: tuple[bytes, ...] = ()
    """Certificates of authorities for X.509-SVIDs, DER."""
    jwt: tuple[bytes, ...] = ()
    """Public keys of authorities for JWT-SVIDs, each a JSON Web Key in canonical form, with its `kid`."""
    sequence: int = 0
    """Grows with each change, where the publisher counts; 0 where not."""
    hint: Duration = _UNSAID
    """How often to ask for it, in the publisher's words; 0 where nothing was said."""

    @property
    def document(self) -> bytes:
        """The bundle in its JSON form, canonical: what is kept, and what its digest is over."""
        keys: list[JsonValue] = [
            {"use": "x509-svid", "x5c": [b64encode(one).decode("ascii")]} for one in self.x509
        ]
        keys += [{**parse_object(one), "use": "jwt-svid"} for one in self.jwt]
        return canonical(
            {"keys": keys, "spiffe_refresh_hint": self.hint // seconds(1), "spiffe_sequence": self.sequence}
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the authorities alone, lower-case hexadecimal: who is believed, whatever its number."""
        return hashlib.sha256(Bundle(x509=self.x509, jwt=self.jwt).document).hexdigest()

    @property
    def authorities(self) -> int:
        """How many there are of both kinds."""
        return len(self.x509) + len(self.jwt)


EMPTY: Final = Bundle()
"""Whose domain was withdrawn: nothing of it counts (rule 5)."""


def parse_bundle(raw: bytes) -> Bundle:
    """The bundle that a document is.

    Raises:
        BundleSizeError: It is larger than is read, or holds more authorities.
        BadBundleError: It is none.
    """
    try:
        found = parse_object(raw, limits=_LIMITS)
    except (TooLargeError, TooManyPartsError) as error:
        raise BundleSizeError(f"the bundle is too large: {error.message}") from error
    except MalformedError as error:
        raise BadBundleError(f"the bundle can't be read: {error.message}", where=error.where) from error
    keys = found.get("keys")
    if not isinstance(keys, list):
        raise BadBundleError("a bundle has a list of `keys`", where="keys")  # 1
    x509: dict[bytes, None] = {}
    jwt: dict[str, bytes] = {}
    for at, one in enumerate(keys):
        if not isinstance(one, dict):
            raise BadBundleError("a key is an object", where=f"keys[{at}]")
        if _SECRET & one.keys() or one.get("kty") == "oct":
            raise BadBundleError(
                "a key has private members; only public keys are read", where=f"keys[{at}]"
            )  # 3
        use = one.get("use")
        if one.get("kty", "EC" if use == "x509-svid" else "") not in _TYPES:
            continue  # 2; a certificate says by itself of what type its key is
        match use:
            case "x509-svid" if "x5c" in one:
                x509[_certificate(one["x5c"], f"keys[{at}].x5c")] = None
            case "jwt-svid" if isinstance(kid := one.get("kid"), str) and kid:
                if kid in jwt:
                    shown = escape_text(kid[:_SHOWN])
                    raise BadBundleError(f"two keys have the `kid` `{shown}`", where=f"keys[{at}]")  # 3
                jwt[kid] = canonical({name: one[name] for name in _PUBLIC if name in one})
            case _:
                continue  # 2
    if max(len(x509), len(jwt)) > MOST_AUTHORITIES:
        raise BundleSizeError(f"the bundle has more than {MOST_AUTHORITIES} authorities of a kind")
    return Bundle(
        x509=tuple(x509),
        jwt=tuple(jwt.values()),
        sequence=_whole(found, "spiffe_sequence", _LAST),
        hint=seconds(min(_whole(found, "spiffe_refresh_hint", _LAST), _LONGEST_HINT)),
    )


def _certificate(chain: JsonValue, where: str) -> bytes:
    """The first certificate: an authority has one, and further ones are not looked at (§4.2.1)."""
    first = chain[0] if isinstance(chain, list) and chain else None
    if not isinstance(first, str):
        raise BadBundleError("`x5c` is a list of certificates in base64", where=where)
    try:
        raw = b64decode(first, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadBundleError("`x5c` holds something that is not base64", where=where) from error
    if not raw:
        raise BadBundleError("`x5c` holds an empty certificate", where=where)
    if len(raw) > _LARGEST:
        raise BundleSizeError(f"a certificate has at most {_LARGEST} bytes", where=where)
    return raw


def _whole(members: Mapping[str, JsonValue], name: str, most: int) -> int:
    value = members.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise BadBundleError(f"`{name}` is a whole number from 0", where=name)
    return value
