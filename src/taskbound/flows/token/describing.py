"""Clients that the document at their URL describes: fetched when one asks, and known for a while.

1. Whose document is fetched, a stranger says in a link. So nothing is fetched for a request that could not be
   answered whatever it said (`asking`), and what is fetched is fetched as issuers are (`ports.identity`):
   nothing followed, no address that is not public but of hosts that whoever runs the daemon named.
2. Nobody reaches others through us: of one address that asks, and of one host that is asked, there are so
   many fetches in a minute, and so many of all together. Who asks at once for the same client waits for one.
3. A document is known for `FRESH`: of so many clients. That there was none, or a bad one, is told to those
   who waited for it and is not kept (the draft's §5.2): whoever mends a document is known with the next
   request. No error has anything of what was answered.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import field
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import minutes
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.token.authorization.client import parse_client_document
from taskbound.core.token.authorization.errors import (
    ClientUnreachableError,
    TooManyDocumentsError,
)
from taskbound.ports.identity import IssuerUnreachableError

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskbound.core.clock import Instant
    from taskbound.core.token.authorization.client import Client, ClientId
    from taskbound.ports.clock import Clock
    from taskbound.ports.identity import Documents


FRESH: Final = minutes(5)
_MOST: Final = 256
"""Clients that are known; beyond that the first ones are forgotten."""
_MINUTE: Final = minutes(1)
_OF_ADDRESS: Final = 10
_OF_HOST: Final = 10
_OF_ALL: Final = 60
_NETWORK: Final = 64
"""Bits of an IPv6 address that are one asker's."""


@dataclass(slots=True)
class _Kept:
    lock: threading.Lock = field(default_factory=threading.Lock)
    client: Client | None = None
    known: Instant | None = None
    """Since when it is."""
    failure: tuple[TaskboundError, Instant] | None = None
    """Why the last fetch brought none, and when that was known."""


class Descriptions:
    """What clients' documents say; asked from any thread, and waits for hosts."""

    def __init__(self, documents: Documents, clock: Clock, *, private: Collection[str] = ()) -> None:
        """Know nobody yet.

        Args:
            documents: Fetches them.
            clock: Says how long ago that was.
            private: Hosts whose documents may be at addresses that are not public.
        """
        self._documents = documents
        self._clock = clock
        self._private = frozenset(private)
        self._kept: dict[str, _Kept] = {}
        self._fetches: dict[str, deque[Instant]] = {}
        self._lock = threading.Lock()

    def client(self, client: ClientId, *, address: str) -> Client:
        """What the client's document says of it.

        Args:
            client: The client.
            address: Where whoever asks is; empty where that is not known.

        Raises:
            TooManyDocumentsError: Rule 2.
            ClientUnreachableError: There is no document, or its host is not reached.
            BadClientDocumentError: It can't be believed.
        """
        kept = self._of(client.text)
        asked = self._clock.now()
        with kept.lock:
            now = self._clock.now()
            if kept.client is not None and kept.known is not None and now - kept.known < FRESH:
                return kept.client
            if kept.failure is not None and asked < kept.failure[1]:
                raise kept.failure[0]  # 2: it waited for this very fetch
            self._count(_asker(address), client.host, now)
            kept.client, kept.failure = None, None
            try:
                kept.client, kept.known = self._fetched(client), now
            except TaskboundError as error:
                kept.failure = error, self._clock.now()
                raise
            return kept.client

    def _fetched(self, client: ClientId) -> Client:
        try:
            raw = self._documents.fetch(client.text, private=client.host in self._private)
        except IssuerUnreachableError as error:
            raise ClientUnreachableError("the client's document can't be fetched") from error
        if raw is None:
            raise ClientUnreachableError("there is no document at the client's URL")
        return parse_client_document(raw, client)

    def _of(self, text: str) -> _Kept:
        with self._lock:
            found = self._kept.get(text)
            if found is None:
                while len(self._kept) >= _MOST:
                    del self._kept[next(iter(self._kept))]
                found = self._kept[text] = _Kept()
            return found

    def _count(self, asker: str, host: str, now: Instant) -> None:
        """Count one fetch more (rule 2).

        Raises:
            TooManyDocumentsError: That would be too many.
        """
        with self._lock:
            wanted = {f"from {asker}": _OF_ADDRESS, f"of {host}": _OF_HOST, "all": _OF_ALL}
            for name in [one for one, times in self._fetches.items() if now - times[-1] >= _MINUTE]:
                del self._fetches[name]
            counted = [(self._fetches.setdefault(name, deque()), most) for name, most in wanted.items()]
            for times, _ in counted:
                while times and now - times[0] >= _MINUTE:
                    times.popleft()
            full = any(len(times) >= most for times, most in counted)
            if not full:
                for times, _ in counted:
                    times.append(now)
            for name in [one for one, times in self._fetches.items() if not times]:
                del self._fetches[name]
        if full:
            raise TooManyDocumentsError("too many documents of clients were fetched within a minute")


def _asker(address: str) -> str:
    """Who asks, as far as an address says it: of IPv6 its network."""
    try:
        seen = ip_address(address)
    except ValueError:
        return address
    if not isinstance(seen, IPv6Address):
        return str(seen)
    if seen.ipv4_mapped is not None:
        return str(seen.ipv4_mapped)
    return f"{int(seen) >> (128 - _NETWORK):x}"
