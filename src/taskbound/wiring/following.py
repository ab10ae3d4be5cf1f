"""Thread that reads the log for the revocation feed.

1. It waits only for the store, not for the signer or the sequencer.
2. It looks every half second, every tenth while the feed is in use, and at once while a request waits, at
   most fifty times a second.
3. A failed look is logged once and retried after a moment. Meanwhile the feed is stale, and readers are
   notified.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError

if TYPE_CHECKING:
    from taskbound.surfaces.api.server.daemon import Daemon


_log = logging.getLogger(__name__)
_EVERY: Final = 0.1
_IDLE: Final = 0.5
"""Seconds between two looks, and where nobody asked lately (rule 2)."""
_LEAST: Final = 0.02


class Following:
    """Reads the log for the daemon's feed until stopped."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._said = ""

    def start(self) -> None:
        """Looks once, so that a new daemon can answer feed requests, and starts the thread."""
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after a last look."""
        self._ending.set()
        self._daemon.feed_news.hurry.set()
        self._thread.join()

    def _run(self) -> None:
        news, ending = self._daemon.feed_news, False
        while not ending:
            if not self._ending.wait(_LEAST):
                news.hurry.wait((_EVERY if news.is_wanted() else _IDLE) - _LEAST)
                news.hurry.clear()
            ending = self._ending.is_set()
            self._look()

    def _look(self) -> None:
        daemon = self._daemon
        try:
            if daemon.feed.look() or daemon.feed_news.ahead:
                daemon.loop.call_soon_threadsafe(daemon.feed_news.tell)
            self._said = ""
        except TaskboundError as error:
            self._say(f"the feed could not look at the log: {error.message} [{error.code}]")
        except Exception:  # noqa: BLE001 - the thread's outermost edge, rule 3
            if self._said != "broken":
                _log.exception("the feed could not look at the log")
            self._said = "broken"

    def _say(self, words: str) -> None:
        if self._said != words:
            _log.warning("%s", words)
        self._said = words
