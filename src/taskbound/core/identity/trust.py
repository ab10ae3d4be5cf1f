"""SPIFFE trust domains: their bundles, sources and staleness.

Of `bundle` (SPIFFE Trust Domain and Bundle §4; JWT-SVID §5, X509-SVID §6):

1. One JSON object with a `keys` list. Without `keys` it is refused, not read as an empty bundle.
2. An entry counts by `use`: `x509-svid` with a certificate, `jwt-svid` with a `kid`. Other entries are
   ignored.
3. A private key member, or two entries with one `kid`, invalidate the bundle.
4. The configuration, not the bundle, names the domain. Bundles are never merged.
5. An SVID of a kind without authorities is refused.

Of `domain`:

1. A domain has one source per namespace, and its authorities count for no other domain.
2. The source's current bundle is complete: missing authorities are no longer trusted.
3. A bundle counts until its bound after the last confirmation, by default 15 minutes, at most a day (law 10).
4. `spiffe_sequence` never decreases, also across restarts, so revoked authorities do not return.
5. An initial bundle (`https_spiffe`) counts from when it was given. The stored bundle, however old,
   authenticates its own endpoint, which could otherwise never recover from a day's outage.
6. An endpoint is contacted at public addresses, at others only if configured (`private`), and on this machine
   only if its URL says so (SSRF).
"""

from __future__ import annotations

import binascii
import hashlib
import re
from base64 import b64decode, b64encode
from dataclasses import replace
from enum import Enum
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Limits, canonical, escape_text, parse_object
from taskbound.core.action.errors import TooLargeError, TooManyPartsError
from taskbound.core.clock import Duration, Instant, days, minutes, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError, UnavailableError
from taskbound.core.identity.selector import parse_spiffe_id, parse_trust_domain
from taskbound.core.scope.constraints.host import is_name, is_public, read_address
from taskbound.core.scope.constraints.url import ReadUrl, read_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from taskbound.core.action import JsonValue


class BadTrustError(MalformedError):
    """The configuration of the trust domain is malformed."""

    code = "bad-trust"
    remedy = "see `taskbound agent trust add --help`"


class BadBundleError(MalformedError):
    """The document is not a trust bundle (SPIFFE Trust Domain and Bundle §4)."""

    code = "bad-trust-bundle"
    remedy = "give a JSON Web Key Set with the authorities, as from `spire-server bundle show -format spiffe`"


class BundleSizeError(MalformedError):
    """The bundle exceeds the limits on bytes or authorities."""

    code = "trust-bundle-size"
    remedy = "publish the authorities that are in use or about to be, and no more"


class ForeignAuthorityError(MalformedError):
    """An authority in the bundle names another trust domain."""

    code = "foreign-authority"
    remedy = "compare the trust domain with the place that its bundle comes from: two are mixed up"


class TrustExistsError(DeniedError):
    """The trust domain is already configured, or the maximum number is reached."""

    code = "trust-exists"
    remedy = "remove it first: a trust domain has one source"


class UnknownTrustError(DeniedError):
    """The trust domain is not configured."""

    code = "unknown-trust-domain"
    remedy = "list those that are believed with `taskbound agent trust list`, or have this one added"


class EmptyTrustError(DeniedError):
    """The trust domain has no authority for this kind of SVID."""

    code = "empty-trust"
    remedy = "ask the administrator of the trust domain: its bundle holds no authority of this kind"


class OlderBundleError(DeniedError):
    """The bundle is older than the known one."""

    code = "older-trust-bundle"
    remedy = "look for a cache or a mirror on the way; to start over remove the trust domain and add it again"


class StaleTrustError(UnavailableError):
    """The bundle was not confirmed within its bound (law 10)."""

    code = "stale-trust"
    remedy = "see `taskbound doctor` for what keeps its source from answering"


class TrustSourceError(UnavailableError):
    """The source of the bundle is unreachable or cannot be authenticated."""

    code = "trust-source"
    remedy = "it is asked again by itself; see `taskbound doctor`"


class TrustRefusedError(UnavailableError):
    """The source rejects the request; an early retry changes nothing."""

    code = "trust-source-refused"
    remedy = "compare the source's version and configuration with what is asked of it"


class TrustFileError(UnavailableError):
    """The bundle file cannot be read, or others may write to it."""

    code = "trust-file"
    remedy = "have it belong to the daemon's account or to root, and closed to writing by all others"


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
    """The authorities of one trust domain, as published."""

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
        """The canonical JSON document, which is stored and hashed."""
        keys: list[JsonValue] = [
            {"use": "x509-svid", "x5c": [b64encode(one).decode("ascii")]} for one in self.x509
        ]
        keys += [{**parse_object(one), "use": "jwt-svid"} for one in self.jwt]
        return canonical(
            {"keys": keys, "spiffe_refresh_hint": self.hint // seconds(1), "spiffe_sequence": self.sequence}
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the authorities without the sequence number, lowercase hex."""
        return hashlib.sha256(Bundle(x509=self.x509, jwt=self.jwt).document).hexdigest()

    @property
    def authorities(self) -> int:
        return len(self.x509) + len(self.jwt)


EMPTY: Final = Bundle()
"""Whose domain was withdrawn: nothing of it counts (rule 5)."""


def parse_bundle(raw: bytes) -> Bundle:
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


BOUND: Final = minutes(15)
"""How long a bundle counts after its last confirmation, by default (rule 3)."""
MOST_DOMAINS: Final = 32
"""Trust domains of one namespace: each has a source that is asked all the time."""
_SHORTEST: Final = minutes(1)
_LONGEST: Final = days(1)
_EVERY: Final = minutes(5)
_SOONEST: Final = seconds(1)
_LONGEST_PLACE: Final = 1_024
_LOCALHOST: Final = "localhost"
_NEVER: Final = Instant(0)
_TCP: Final = re.compile(r"tcp://(\[[0-9a-fA-F:.]+\]|[0-9.]+):([1-9][0-9]{0,4})", re.ASCII)
_LAST_PORT: Final = 65_535


class TrustSource(Enum):
    """The source of a bundle; the last two are SPIFFE Federation endpoint profiles (§5.2)."""

    FILE = "file"
    WORKLOAD_API = "workload-api"
    HTTPS_WEB = "https_web"
    HTTPS_SPIFFE = "https_spiffe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """One trusted domain in one namespace."""

    namespace: str
    domain: str
    source: TrustSource
    place: str
    """An absolute path, the Workload API's address (`unix:` or `tcp:`), or a URL."""
    endpoint: str = ""
    """The SPIFFE ID that the endpoint proves; of `https_spiffe` alone."""
    private: bool = False
    """Whether the endpoint may stand at a private address."""
    bound: Duration = BOUND
    bundle: bytes = b""
    """The document of the bundle that counts, canonical; empty until there is one."""
    confirmed: Instant = _NEVER
    """When its source last said that this is it; 0 for never."""
    version: int = 1

    @property
    def known(self) -> Bundle:
        """The bundle; empty before the first fetch."""
        return parse_bundle(self.bundle) if self.bundle else EMPTY

    def stale(self, now: Instant) -> bool:
        return now - self.confirmed > self.bound  # never is long ago

    @property
    def every(self) -> Duration:
        """The polling interval: the source's hint, shortened so that a single failure causes no staleness."""
        wished = self.known.hint or _EVERY
        return Duration(max(_SOONEST, min(wished, self.bound // 3)))


def parse_trust(  # noqa: PLR0913 -- what a trust domain is made of, each by its name
    namespace: str,
    domain: str,
    *,
    source: str,
    place: str,
    endpoint: str = "",
    private: bool = False,
    bound: Duration = BOUND,
) -> Trust:
    """Builds a trust domain; raises BadTrustDomainError, BadSpiffeIdError or BadTrustError."""
    known = {one.value: one for one in TrustSource}
    if source not in known:
        raise BadTrustError(f"a source is one of {', '.join(known)}", where="source")
    kind = known[source]
    if not _SHORTEST <= bound <= _LONGEST:
        raise BadTrustError("a bundle may become 1 minute to 24 hours old", where="bound")  # 3
    if not 0 < len(place) <= _LONGEST_PLACE or not place.isascii() or not place.isprintable():
        raise BadTrustError(f"a place has 1 to {_LONGEST_PLACE} printable characters of ASCII", where="place")
    match kind:
        case TrustSource.FILE:
            _require_path(place)
        case TrustSource.WORKLOAD_API:
            _require_address(place)
        case TrustSource.HTTPS_WEB | TrustSource.HTTPS_SPIFFE:
            _require_url(place)
    if (kind is TrustSource.HTTPS_SPIFFE) is not bool(endpoint):
        raise BadTrustError(
            "`https_spiffe`, and it alone, names the SPIFFE ID of its endpoint", where="endpoint"
        )
    if private and kind not in {TrustSource.HTTPS_WEB, TrustSource.HTTPS_SPIFFE}:
        raise BadTrustError("only an endpoint is allowed a private address", where="private")
    if endpoint and not parse_spiffe_id(endpoint).path:
        raise BadTrustError("an endpoint's SPIFFE ID has a path, as a workload's has", where="endpoint")
    return Trust(
        namespace=namespace,
        domain=parse_trust_domain(domain),
        source=kind,
        place=place,
        endpoint=endpoint,
        private=private,
        bound=bound,
    )


def confirm(trust: Trust, bundle: Bundle, *, now: Instant) -> Trust:
    """Records that the source now publishes this bundle; raises OlderBundleError."""
    if bundle.sequence < trust.known.sequence:
        raise OlderBundleError(
            f"the bundle of `{trust.domain}` has the sequence {bundle.sequence}, and"
            f" {trust.known.sequence} is known"
        )  # 4
    return replace(
        trust, bundle=bundle.document, confirmed=max(now, trust.confirmed), version=trust.version + 1
    )


def require_authorities(trust: Trust, kind: Literal["x509", "jwt"], *, now: Instant) -> tuple[bytes, ...]:
    if trust.stale(now):
        least = trust.bound // seconds(1)
        raise StaleTrustError(f"the bundle of `{trust.domain}` was not confirmed within {least} seconds")  # 3
    bundle = trust.known
    found = bundle.x509 if kind == "x509" else bundle.jwt
    if not found:
        raise EmptyTrustError(f"`{trust.domain}` has no authority for {kind.upper()}-SVIDs")  # 2
    return found


def _require_path(place: str) -> None:
    if not place.startswith("/") or {".", ".."} & set(place.split("/")):
        raise BadTrustError("a file has an absolute path without `.` and `..`", where="place")


def _require_address(place: str) -> None:
    if place.startswith("unix:///"):
        _require_path(place.removeprefix("unix://"))
        return
    found = _TCP.fullmatch(place)
    try:
        ip_address(found[1].strip("[]") if found else "")
    except ValueError:
        found = None
    if found is None or int(found[2]) > _LAST_PORT:
        raise BadTrustError(
            "the Workload API is at `unix:///PATH` or at `tcp://IP:PORT`", where="place"
        ) from None


def _require_url(place: str) -> None:
    read = read_url(place)
    if not isinstance(read, ReadUrl) or read.scheme != "https" or "#" in place:
        raise BadTrustError(
            "an endpoint is at `https://HOST[:PORT]/PATH`, without user and fragment", where="place"
        )
    if not is_name(read.host) and read_address(read.host) is None:
        raise BadTrustError("an endpoint's host is a name or an address", where="place")


def admits(trust: Trust, host: str, address: str) -> bool:
    """True if the endpoint may be contacted at this resolved address."""
    found = ip_address(address)
    if is_public(found) or trust.private:
        return True
    own = read_url(trust.place)
    return found.is_loopback and isinstance(own, ReadUrl) and host == own.host and _near(host)


def _near(host: str) -> bool:
    written = read_address(host)
    return host == _LOCALHOST or (written is not None and written.is_loopback)
