"""A system that has names, and lets in whoever has one: as bare as a database is behind its protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from taskbound.core.clock import Instant
from taskbound.ports.target import Gone, Minted, MintOrder, Shown, TargetUnavailableError


@dataclass
class Rack:
    """The system, and what speaks to it (`ports.target.Target`)."""

    names: set[str] = field(default_factory=set)
    away: bool = False
    sweeps: int = 0
    """How often it was looked through."""
    ended: list[str] = field(default_factory=list)
    now: list[Callable[[], object]] = field(default_factory=list)
    """What happens with the next mint, renewal or end there, before it is answered."""

    def mint(self, order: MintOrder, kind: Any, *, patience: float) -> Minted:  # noqa: ARG002 - the port's
        self._reach()
        self.names.add(order.name)
        return Minted(open={"RACK_NAME": order.name}, secret={})

    def use(self, minted: Minted, *, patience: float) -> None:  # noqa: ARG002 - the port's
        assert minted.open["RACK_NAME"] in self.names

    def renew(self, name: str, ends: Instant, *, patience: float) -> None:  # noqa: ARG002 - the port's
        self._reach()
        assert name in self.names

    def revoke(self, name: str, *, ends: Instant, patience: float) -> Gone:  # noqa: ARG002 - the port's
        self._reach()
        self.names.discard(name)
        self.ended.append(name)
        return Gone(cut=0)

    def look(self, name: str, *, patience: float) -> Shown:  # noqa: ARG002 - the port's
        return Shown(exists=name in self.names, open=0)

    def sweep(self, prefix: str, *, patience: float) -> Iterator[str]:  # noqa: ARG002 - the port's
        self._reach()
        self.sweeps += 1
        return iter(sorted(one for one in self.names if one.startswith(prefix)))

    def _reach(self) -> None:
        if self.away:
            raise TargetUnavailableError("the rack is locked")
        for happens in self.now[:1]:
            del self.now[:1]
            happens()
