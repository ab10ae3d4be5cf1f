"""What is owed by systems in which a credential has no name of ours: it is ended by its own value.

Such a target keeps something of each credential, which the broker seals to itself. It is no `Keeps` where the
credential's name is enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.ports.target.system import Gone, Left


MAX_KEPT = 8_192
"""Bytes of what is kept of one credential."""


@runtime_checkable
class Keeps(Protocol):
    """A target that ends a credential by what was kept of it; used by several threads at once.

    Its `mint` MUST set `Minted.kept`: 8 to `MAX_KEPT` bytes of text. Where something was given that can't be
    handed out or kept, `mint` MUST try to end it before it raises. Its `revoke` MUST answer `Left`, as
    nothing can be found by a name; `look` MUST raise `TargetRefusedError`, and `sweep` finds nothing.
    """

    @property
    def lasts(self) -> int:
        """Seconds that anything lives there at most, whatever was asked for: 1 to a day.

        `mint` MUST refuse what would live for longer.
        """

    def end_kept(self, kept: str, *, ends: Instant, patience: float) -> Gone | Left:
        """End what this was kept of; as well after an earlier call, wherever that one was cut off.

        `ends` is when it ends there by itself at the latest. It answers and raises as `revoke` does: `Gone`
        only for what the system showed afterwards of exactly this credential.
        """
