"""A trust domain that is believed here: where its bundle comes from, what it is, and how old it may become.

1. A domain has one source in a namespace. Nothing of one domain ever counts for another, and no other is
   tried.
2. What the source says is all there is: an authority that is not in it any more counts no more, and an empty
   bundle trusts nothing.
3. Law 10: a bundle counts until its bound after it was last confirmed, 15 minutes where nobody said
   otherwise, at most a day. Then it refuses, whatever the SVIDs say of themselves.
4. `spiffe_sequence` never goes back, also over a restart. Who once counted and counts no more has gone back.
5. A bundle that was given to begin with (`https_spiffe`) counts from when it was given, and the kept one,
   however old, proves its own endpoint: without that an endpoint that was away for a day could never come
   back.
6. An endpoint is asked at public addresses, at any where that was said (`private`), and on this machine
   only where its own URL says so: nobody who answers for a name, or sends elsewhere, leads into the network
   that we are in.
"""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Duration, Instant, days, minutes, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.identity.spiffe import parse_spiffe_id, parse_trust_domain
from taskbound.core.identity.trust.bundle import EMPTY, Bundle, parse_bundle
from taskbound.core.identity.trust.errors import (
    BadTrustError,
    EmptyTrustError,
    OlderBundleError,
    StaleTrustError,
)
from taskbound.core.scope.constraints.address import is_public, read_address
from taskbound.core.scope.constraints.host import is_name
from taskbound.core.scope.constraints.url import ReadUrl, read_url

if TYPE_CHECKING:
    from typing import Literal


BOUND: Final = minutes(15)
"""How long a bundle counts after it was last confirmed, where nobody said otherwise (rule 3)."""
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
    """Where a bundle comes from; the last two are the endpoint profiles of SPIFFE Federation (§5.2)."""

    FILE = "file"
    WORKLOAD_API = "workload-api"
    HTTPS_WEB = "https_web"
    HTTPS_SPIFFE = "https_spiffe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """One trust domain that is believed in one namespace."""

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
        """The bundle itself; the empty one until there is one."""
        return parse_bundle(self.bundle) if self.bundle else EMPTY

    def stale(self, now: Instant) -> bool:
        """Whether what is known is too old to count (rule 3)."""
        return now - self.confirmed > self.bound  # never is long ago

    @property
    def every(self) -> Duration:
        """How often to ask its source: as it wishes, and often enough that a lost one makes nothing stale."""
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
    """The trust domain that somebody wrote down.

    Raises:
        BadTrustDomainError: The name is none.
        BadSpiffeIdError: The endpoint's is none.
        BadTrustError: The rest doesn't go together.
    """
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
    """The trust domain, whose source says now that this is its bundle (rules 2 and 4).

    Raises:
        OlderBundleError: It was published before the one that is known.
    """
    if bundle.sequence < trust.known.sequence:
        raise OlderBundleError(
            f"the bundle of `{trust.domain}` has the sequence {bundle.sequence}, and"
            f" {trust.known.sequence} is known"
        )  # 4
    return replace(
        trust, bundle=bundle.document, confirmed=max(now, trust.confirmed), version=trust.version + 1
    )


def require_authorities(trust: Trust, kind: Literal["x509", "jwt"], *, now: Instant) -> tuple[bytes, ...]:
    """The authorities of this kind that count now (rules 2 and 3).

    Raises:
        StaleTrustError: Its source didn't confirm them within the bound.
        EmptyTrustError: There are none.
    """
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
    """An address of `SPIFFE_ENDPOINT_SOCKET` (Workload Endpoint §4): no name that would be looked up."""
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
    """Whether it may be asked for at this address, which a URL's host was found to lead to (rule 6)."""
    found = ip_address(address)
    if is_public(found) or trust.private:
        return True
    own = read_url(trust.place)
    return found.is_loopback and isinstance(own, ReadUrl) and host == own.host and _near(host)


def _near(host: str) -> bool:
    written = read_address(host)
    return host == _LOCALHOST or (written is not None and written.is_loopback)
