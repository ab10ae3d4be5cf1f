"""The keys of the issuer, as it publishes them: read when they are needed, and believed for a while.

1. They are read at the first token, again when they are a minute old, and when a token names a key that isn't
   among them: by one thread, and not before ten seconds are over since the last reading ended, for
   whatever reason. Where there are none that may be believed, who comes meanwhile waits for that reading.
   Nobody else waits: a key that is known is taken, and one that is not is refused as *not read* yet, since
   strangers make up as many as they like. After a fork the child's reading is its own.
2. A key that is published no more is none from the next reading on. Until then whoever asks for the status
   of a token is told that its key was revoked (`status`).
3. Keys that were read longer than five minutes ago are believed no more: then nothing is done (law 10). A
   reading that fails changes nothing before that.
4. What is published is read as strictly as any set of keys (`wire.jose.parse_jwks`).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Duration, minutes, seconds
from taskbound.core.errors import TaskboundError
from taskbound.sdk.verify.errors import KeysUnreadError
from taskbound.sdk.verify.forked import anew_in_children
from taskbound.wire.jose import parse_jwks

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.clock import Instant
    from taskbound.wire.jose import Jwk


KEYS_AGAIN: Final = seconds(10)
"""How long at least between two readings (rule 1)."""
KEYS_FRESH: Final = minutes(1)
KEYS_STALE: Final = minutes(5)


class IssuerKeys:
    """The keys of one issuer; safe from any thread."""

    def __init__(self, fetch: Callable[[], bytes], clock: Callable[[], Instant]) -> None:
        """Know none yet.

        Args:
            fetch: Gives the issuer's document of keys, within seconds. It raises `OSError` or a
                `TaskboundError` where it can't.
            clock: Now.
        """
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: tuple[Jwk, ...] = ()
        self._read: Instant | None = None
        self._tried: Instant | None = None
        anew_in_children(self, IssuerKeys.begin_anew)

    def keys(self, kid: str) -> tuple[Jwk, ...]:
        """All keys that are believed, read anew where this one is not among them (rules 1 to 3).

        Raises:
            KeysUnreadError: There are none that may be believed now.
        """
        keys = self._known(kid)
        if keys is not None:
            return keys
        lock = self._lock
        if not lock.acquire(blocking=not self._believed()):  # 1: somebody reads them anew
            if any(one.kid == kid for one in self._keys):
                return self._keys
            raise KeysUnreadError("the issuer's keys are being read, and this one is not known yet")
        try:
            keys = self._known(kid)
            if keys is not None:  # who waited for the lock waited for this
                return keys
            failure = self._read_anew()
            if not self._believed():
                raise KeysUnreadError("the issuer's keys can't be read") from failure  # 3
            return self._keys
        finally:
            lock.release()

    def begin_anew(self) -> None:
        """Go on in the child of a fork: who read them in the parent does not do so here."""
        self._lock = threading.Lock()

    def _believed(self) -> bool:
        """Whether there are keys that may be believed still (rule 3)."""
        return self._read is not None and self._since(self._read) < KEYS_STALE

    def _known(self, kid: str) -> tuple[Jwk, ...] | None:
        """The keys, where nothing asks for reading them anew, or it may not be done yet."""
        read, tried = self._read, self._tried
        if read is not None and self._since(read) < KEYS_FRESH and any(one.kid == kid for one in self._keys):
            return self._keys
        if tried is None or self._since(tried) >= KEYS_AGAIN:
            return None
        if not self._believed():
            raise KeysUnreadError("the issuer's keys can't be read, and were asked for just now")  # 1, 3
        return self._keys

    def _read_anew(self) -> Exception | None:
        """Read them; why not, where that fails."""
        began = self._clock()
        try:
            self._keys = parse_jwks(self._fetch())
            self._read = began
        except (OSError, TaskboundError) as error:
            return error
        else:
            return None
        finally:
            self._tried = self._clock()  # who hangs for long is not asked again at once

    def _since(self, then: Instant) -> Duration:
        return Duration(self._clock() - then)
