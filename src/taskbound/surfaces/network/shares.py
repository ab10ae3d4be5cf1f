"""How many requests the API answers at once, and how many of them for one client.

1. An identity may have as many as are left free: half of all while it is alone. A network that has proven
   none may have a third of what is left free. So each client leaves some to the next one.
2. A part of all is for identities alone.
3. A request beyond that is refused at once. What the daemon is asked for a client that left still counts.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from taskbound.surfaces.http.rate import network_of
from taskbound.surfaces.network.errors import ApiBusyError

if TYPE_CHECKING:
    from collections.abc import Iterator


_OPEN: Final = 192
"""Requests that are answered at once: fewer than the daemon reads from one connection (`OPEN_REQUESTS`)."""
_PART: Final = 3
"""A network's part of what is free (rule 1): 15 networks that hold all they get take the last one."""
_RESERVE: Final = 48
"""Of these, for identities alone (rule 2)."""


class Shares:
    """Requests that are being answered; used in the loop."""

    def __init__(self, *, most: int = _OPEN, reserve: int = _RESERVE) -> None:
        """Answer so many at once, `reserve` of them for identities alone."""
        self._most = most
        self._reserve = reserve
        self._proven: Counter[str] = Counter()
        """By identity."""
        self._unproven: Counter[str] = Counter()
        """By network."""

    @contextmanager
    def held(self, *, identity: str, address: str) -> Iterator[None]:
        """Count a request while it is answered.

        Args:
            identity: Whose it is; empty where that is not proven yet.
            address: Where its client is.

        Raises:
            ApiBusyError: Its client has its share, or none is left.
        """
        free = self._most - self._proven.total() - self._unproven.total()
        if not identity:
            free = min(free, self._most - self._reserve - self._unproven.total())  # 2
        group, who = (self._proven, identity) if identity else (self._unproven, network_of(address))
        if group[who] >= (free if identity else free / _PART):
            raise ApiBusyError("so many requests wait for the daemon that this one is not asked")  # 1
        group[who] += 1
        try:
            yield
        finally:
            group[who] -= 1
            if not group[who]:
                del group[who]
