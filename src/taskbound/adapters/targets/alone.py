"""Names that are being minted here: where a system writes one thing over another, one worker asks for it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from taskbound.ports.target import NameTakenError

if TYPE_CHECKING:
    from collections.abc import Iterator


class UnderWay:
    """Safe from any thread."""

    def __init__(self) -> None:
        """Nothing is."""
        self._names: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Nobody else mints this name meanwhile.

        Raises:
            NameTakenError: Somebody does.
        """
        with self._lock:
            if name in self._names:
                raise NameTakenError("the name is being minted already")
            self._names.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._names.remove(name)
