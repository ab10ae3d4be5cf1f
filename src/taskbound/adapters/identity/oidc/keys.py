"""Keys of issuers as they publish them, kept for a while.

1. They are fetched when the first token needs them, again when they are older than `FRESH`, and at once when
   a token names a key that is not among them: so an issuer rotates without anybody here being told.
2. However many tokens ask, an issuer is asked once in `PAUSE` at most: who invents names of keys has nobody
   asked.
3. Where a fetch fails, the keys of before count until they are `STALE`; from then on nothing of the issuer
   is believed.
4. Keys that were written down are never fetched, and never older.
5. What is kept is of one row: an issuer that was changed begins anew.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from taskbound.adapters.identity.oidc.metadata import find_keys
from taskbound.core.clock import Instant, hours, minutes, seconds
from taskbound.core.errors import TaskboundError
from taskbound.core.tool.name import shown
from taskbound.ports.identity import IssuerUnreachableError
from taskbound.wire.jose import parse_foreign_jwks

if TYPE_CHECKING:
    from taskbound.core.identity.oidc import IdentityIssuer
    from taskbound.ports.identity import Documents
    from taskbound.wire.jose import Jwk

__all__ = ["FRESH", "PAUSE", "STALE", "IssuerKeys"]

FRESH: Final = minutes(10)
STALE: Final = hours(1)
PAUSE: Final = seconds(30)
_MOST: Final = 256
"""Issuers whose keys are kept; beyond that the first ones are forgotten."""


@dataclass(slots=True)
class _Kept:
    lock: threading.Lock = field(default_factory=threading.Lock)
    keys: tuple[Jwk, ...] = ()
    fetched: Instant | None = None
    tried: Instant | None = None
    failure: TaskboundError | None = None


class IssuerKeys:
    """The keys of issuers; asked from any thread, and may wait for an issuer."""

    def __init__(self, documents: Documents) -> None:
        """Fetch with these; nothing is fetched yet."""
        self._documents = documents
        self._kept: dict[IdentityIssuer, _Kept] = {}
        self._lock = threading.Lock()

    def keys(self, issuer: IdentityIssuer, kid: str, now: Instant) -> tuple[Jwk, ...]:
        """The issuer's keys; newly fetched where none has this id, as often as that may be.

        Raises:
            UnavailableError: There are none now that are fresh enough.
            MalformedError: What it publishes can't be read.
        """
        if issuer.keys:
            return parse_foreign_jwks(issuer.keys)  # 4
        kept = self._of(issuer)
        with kept.lock:
            if self._wants(kept, kid, now):
                self._fetch(issuer, kept, now)
            if kept.fetched is not None and now - kept.fetched < STALE:
                return kept.keys
            raise _unreachable(issuer, kept)  # 3

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
        fresh = kept.fetched is not None and now - kept.fetched < FRESH
        return not fresh or (kid != "" and all(one.kid != kid for one in kept.keys))  # 1

    def _fetch(self, issuer: IdentityIssuer, kept: _Kept, now: Instant) -> None:
        kept.tried = now
        try:
            body = self._documents.fetch(find_keys(issuer, self._documents), private=issuer.private)
            if body is None:
                raise IssuerUnreachableError(f"`{shown(issuer.issuer)}` has no keys where it says they are")
            kept.keys = parse_foreign_jwks(body)
        except TaskboundError as error:
            kept.failure = error
            return
        kept.fetched, kept.failure = now, None


def _unreachable(issuer: IdentityIssuer, kept: _Kept) -> TaskboundError:
    if kept.failure is not None:
        return kept.failure
    return IssuerUnreachableError(f"the keys of `{shown(issuer.issuer)}` are too old to be believed")
