"""What this process knows of the sources of trust domains: what keeps one from answering."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Sources:
    """Told by whoever asks the sources, read by operations; safe from any thread."""

    def __init__(self) -> None:
        """Know of none."""
        self._lock = threading.Lock()
        self._troubles: dict[tuple[str, str], str] = {}
        self._wake: Callable[[], None] | None = None

    def trouble(self, namespace: str, domain: str) -> str:
        """What keeps the source of this domain from answering; empty while it does."""
        with self._lock:
            return self._troubles.get((namespace, domain), "")

    def tell(self, namespace: str, domain: str, trouble: str) -> bool:
        """Keep what keeps it from answering, empty for nothing; whether that is news."""
        with self._lock:
            before = self._troubles.pop((namespace, domain), "")
            if trouble:
                self._troubles[namespace, domain] = trouble
            return before != trouble

    def attend(self, wake: Callable[[], None] | None) -> None:
        """Have this called whenever somebody changed which domains are believed."""
        with self._lock:
            self._wake = wake

    def look(self) -> None:
        """Say that somebody changed which domains are believed."""
        with self._lock:
            wake = self._wake
        if wake is not None:
            wake()
