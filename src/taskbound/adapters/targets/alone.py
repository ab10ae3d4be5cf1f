"""What targets of several kinds share about names and about kept tokens.

1. `NameLocks`: names being minted in this process, for systems in which a second mint would overwrite the
   first.
2. `Nameless`: systems whose tokens have no name of ours, and which are ended by their kept value.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.clock import Instant
from taskbound.core.errors import MalformedError
from taskbound.ports.target import (
    ExpiresAt,
    NameTakenError,
    RenewalUnsupportedError,
    Shown,
    TargetRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class NameLocks:
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


class Nameless:
    """The calls by name of a target (`ports.target.Target`) that knows none."""

    _unrenewable: ClassVar[str]
    """Why no end is moved."""
    _unnamed: ClassVar[str]
    """Why nothing is looked up by its name."""
    _guide: ClassVar[str]

    def renew(self, name: str, ends: Instant, *, patience: float) -> None:  # noqa: ARG002 - nothing can be done
        raise RenewalUnsupportedError(self._unrenewable)

    def revoke(self, name: str, *, ends: Instant, patience: float) -> ExpiresAt:  # noqa: ARG002 - no name is known there
        """Revokes nothing: names are unknown there."""
        return ExpiresAt(until=ends)

    def look(self, name: str, *, patience: float) -> Shown:  # noqa: ARG002 - as above
        raise TargetRefusedError(self._unnamed, remedy=self._guide)

    def sweep(self, prefix: str, *, patience: float) -> Iterator[str]:  # noqa: ARG002 - as above
        return iter(())


def keep_token(token: str, ends: Instant) -> str:
    """Returns what is kept of a token to end it."""
    return canonical({"ends": ends, "token": token}).decode()


def read_token(kept: str) -> tuple[str, Instant]:
    """Returns token and end; raises TargetRefusedError if what was kept is not of `keep_token`."""
    try:
        value = parse_object(kept.encode())
    except MalformedError:
        value = {}
    token, over = value.get("token"), value.get("ends")
    if not isinstance(token, str) or not isinstance(over, int):
        raise TargetRefusedError("the stored token cannot be read")
    return token, Instant(over)
