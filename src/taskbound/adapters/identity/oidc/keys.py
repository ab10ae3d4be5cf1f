"""Cached metadata and keys of issuers.

1. Keys are fetched on first use, when older than `FRESH`, and when a token names an unknown key, so issuers
   can rotate.
2. An issuer is asked at most once in `PAUSE`, so invented key names can't cause requests.
3. After a failed fetch the old keys count until `STALE`, also for callers that don't wait.
4. Configured keys are never fetched and never expire.
5. The cache belongs to one row; a changed issuer starts anew.
6. One request an issuer runs at a time. `known` and `need` never wait, so an invented key name delays no
   other caller.

Metadata: 1. It is at OpenID Connect Discovery's place (§4) or RFC 8414's (§3). 2. It must name the requested
issuer exactly. 3. Keys and token endpoint are at the issuer's origin or the one configured; sign-in is at its
origin only.
"""

from __future__ import annotations

import threading
from dataclasses import field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.action import Limits, parse_object
from taskbound.core.clock import Instant, hours, minutes, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.core.tool.name import shown
from taskbound.core.tool.oauth.client import BadClientError, BadMetadataError, endpoint, issuer_at
from taskbound.ports.identity import IssuerUnreachableError, Need
from taskbound.wire.jose import parse_foreign_jwks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Duration
    from taskbound.core.identity.issuer import IdentityIssuer
    from taskbound.ports.identity import Documents
    from taskbound.wire.jose import Jwk


Said: TypeAlias = "Mapping[str, JsonValue]"
"""What an issuer says of itself."""

_LIMITS: Final = Limits(size=65_536, depth=8, parts=2_048)


def find_keys(issuer: IdentityIssuer, documents: Documents) -> str:
    return keys_in(find_metadata(issuer, documents), issuer)


def find_metadata(issuer: IdentityIssuer, documents: Documents) -> Said:
    for place in _places(issuer.issuer):
        body = documents.fetch(place, private=issuer.private)
        if body is not None:
            return _read(body, issuer)
    raise BadMetadataError(f"`{shown(issuer.issuer)}` has no metadata at the places where it would be")


def _places(issuer: str) -> tuple[str, ...]:
    at = issuer_at(issuer)
    path = at.read.path.rstrip("/")
    return (  # 1
        f"{at.origin}{path}/.well-known/openid-configuration",
        f"{at.origin}/.well-known/oauth-authorization-server{path}",
    )


def _read(body: bytes, issuer: IdentityIssuer) -> Said:
    try:
        found = parse_object(body, limits=_LIMITS)
    except MalformedError as error:
        raise BadMetadataError("the issuer's metadata is no JSON object that can be read") from error
    said = found.get("issuer")
    if said != issuer.issuer:
        named = f"`{shown(said[:200])}`" if isinstance(said, str) else "no issuer"
        raise BadMetadataError(f"the metadata of `{shown(issuer.issuer)}` is that of {named}")  # 2
    return found


def keys_in(said: Said, issuer: IdentityIssuer) -> str:
    """Returns the URL of the issuer's keys; raises BadMetadataError (metadata rule 3)."""
    advice = "name that origin for this issuer (`--keys-at`) if it is known to be the issuer's"
    return place_in(said, "jwks_uri", issuer, other=issuer.keys_at, what="the keys", advice=advice)


def place_in(said: Said, member: str, issuer: IdentityIssuer, *, other: str, what: str, advice: str) -> str:
    """Returns the URL in this member, at the issuer's origin or `other`; raises BadMetadataError."""
    named = said.get(member)
    try:
        origin = endpoint(named).origin if isinstance(named, str) else ""
    except BadClientError as error:
        raise BadMetadataError(f"{what} of `{shown(issuer.issuer)}` can't be asked for") from error
    if not isinstance(named, str) or origin not in {issuer_at(issuer.issuer).origin, other or origin[:0]}:
        words = f"{what} of `{shown(issuer.issuer)}` are at another host: `{shown(origin)}`"
        raise BadMetadataError(words, remedy=advice)  # 3
    return named


FRESH: Final = minutes(10)
STALE: Final = hours(1)
PAUSE: Final = seconds(30)
_MOST: Final = 256
"""Issuers whose keys are kept; beyond that the first ones are forgotten."""


@dataclass(frozen=True, slots=True)
class _Said:
    keys: tuple[Jwk, ...] = ()
    fetched: Instant | None = None
    failure: TaskboundError | None = None

    def fresh(self, bound: Duration, now: Instant) -> bool:
        return self.fetched is not None and now - self.fetched < bound

    def has(self, kid: str) -> bool:
        return not kid or any(one.kid == kid for one in self.keys)


@dataclass(slots=True)
class _Kept:
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Who asks the issuer (rule 6)."""
    said: _Said = _Said()
    tried: Instant | None = None
    asked: bool = False
    """Whether somebody asks it now."""


class IssuerKeys:
    """The issuers' keys; safe from any thread, may block on an issuer."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._kept: dict[IdentityIssuer, _Kept] = {}
        self._lock = threading.Lock()

    def keys(self, issuer: IdentityIssuer, kid: str, now: Instant) -> tuple[Jwk, ...]:
        """Returns the issuer's keys, fetched anew if this id is unknown; raises UnavailableError."""
        self.ask(issuer, kid, now)
        return self.known(issuer, now)

    def known(self, issuer: IdentityIssuer, now: Instant) -> tuple[Jwk, ...]:
        if issuer.keys:
            return parse_foreign_jwks(issuer.keys)  # 4
        said = self._of(issuer).said
        if said.fresh(STALE, now):
            return said.keys
        raise said.failure or IssuerUnreachableError(
            f"the keys of `{shown(issuer.issuer)}` are too old to be believed"
        )  # 3

    def need(self, issuer: IdentityIssuer, kid: str, now: Instant) -> Need:
        """Whether the issuer must be asked for this key id; doesn't wait."""
        if issuer.keys:
            return Need.NOTHING  # 4
        kept = self._of(issuer)
        if not kept.asked and not self._wants(kept, kid, now):
            return Need.NOTHING
        said = kept.said
        if not said.has(kid) or not said.fresh(STALE, now):
            return Need.ANSWER
        return Need.NOTHING if said.fresh(FRESH, now) else Need.NEWS  # 6

    def ask(self, issuer: IdentityIssuer, kid: str, now: Instant) -> None:
        """Asks the issuer if needed (rules 1 and 2); may block."""
        if issuer.keys:
            return  # 4
        kept = self._of(issuer)
        with kept.turn:
            if self._wants(kept, kid, now):
                kept.asked = True
                try:
                    self._fetch(issuer, kept, now)
                finally:
                    kept.asked = False

    def _of(self, issuer: IdentityIssuer) -> _Kept:
        with self._lock:
            found = self._kept.get(issuer)
            if found is None:
                while len(self._kept) >= _MOST:
                    del self._kept[next(iter(self._kept))]
                found = self._kept[issuer] = _Kept()  # 5
            return found

    def _wants(self, kept: _Kept, kid: str, now: Instant) -> bool:
        if kept.tried is not None and now - kept.tried < PAUSE:
            return False  # 2
        return not kept.said.fresh(FRESH, now) or not kept.said.has(kid)  # 1

    def _fetch(self, issuer: IdentityIssuer, kept: _Kept, now: Instant) -> None:
        kept.tried = now
        try:
            body = self._documents.fetch(find_keys(issuer, self._documents), private=issuer.private)
            if body is None:
                raise IssuerUnreachableError(f"`{shown(issuer.issuer)}` has no keys where it says they are")
            kept.said = _Said(keys=parse_foreign_jwks(body), fetched=now)
        except TaskboundError as error:
            kept.said = replace(kept.said, failure=error)
