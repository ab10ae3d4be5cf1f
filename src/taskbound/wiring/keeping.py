"""Keeping a process beside the daemon running, from a thread of its own.

1. Nothing of the daemon's waits for it: it may take seconds to start, or never say that it is ready.
2. It is started once it is wanted, and again when it has ended; why it does not start is logged when that is
   another reason than before.
3. The daemon's end ends it, also while it is just starting, within the bounds of `Child`.
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
    """Keeps one child running."""

    def __init__(self, child: Child, wanted: threading.Event) -> None:
        """Prepare; `start` begins to look, and starts the child once it is wanted (rule 2)."""
        self._child = child
        self._wanted = wanted
        self._ending = threading.Event()
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="keeping", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def leave(self) -> None:
        """Start it no more; one that is just starting is ended (rule 3). Returns at once."""
        self._ending.set()
        self._child.leave()

    def stop(self) -> None:
        """End it; waits until it is gone."""
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
