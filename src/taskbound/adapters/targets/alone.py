"""Names being minted in this process, for systems in which a second mint would overwrite the first."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from taskbound.ports.target import NameTakenError

if TYPE_CHECKING:
    from collections.abc import Iterator


class UnderWay:
    """The names being minted; thread-safe."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Reserves the name during the context; raises NameTakenError if it is reserved."""
        with self._lock:
            if name in self._names:
                raise NameTakenError("the name is being minted already")
            self._names.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._names.remove(name)
