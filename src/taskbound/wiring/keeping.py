"""Keeps a child process of the daemon running, in a thread of its own.

1. The daemon never waits for a child, which may take seconds to start or never become ready.
2. A child is started when it is wanted and restarted when it has exited. A failed start is logged when its
   reason changes.
3. The daemon's end also ends a child that is still starting, within the bounds of `Child`.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError

if TYPE_CHECKING:
    from taskbound.wiring.child import Child


_log = logging.getLogger(__name__)
_EVERY: Final = 0.5
"""Seconds between two looks whether it runs."""


class Keeping:
    """Supervises one child."""

    def __init__(self, child: Child, wanted: threading.Event) -> None:
        self._child = child
        self._wanted = wanted
        self._ending = threading.Event()
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="keeping", daemon=True)

    def start(self) -> None:
        """Starts the thread, which starts the child once it is wanted (rule 2)."""
        self._thread.start()

    def leave(self) -> None:
        """Prevents further starts and ends a child that is still starting (rule 3). Returns at once."""
        self._ending.set()
        self._child.leave()

    def stop(self) -> None:
        """Ends the child and waits until it is gone."""
        self.leave()
        self._thread.join()
        self._child.stop()

    def _run(self) -> None:
        while not self._ending.wait(_EVERY):
            if self._wanted.is_set():
                self._look()

    def _look(self) -> None:
        try:
            self._child.start()
        except TaskboundError as error:
            if self._trouble != error.message and not self._ending.is_set():
                _log.warning("%s [%s]", error.message, error.code)
            self._trouble = error.message
        except Exception:  # noqa: BLE001 - the thread's outermost edge
            _log.exception("what keeps a process running failed")
