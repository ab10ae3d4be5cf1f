"""The kill switch."""

from __future__ import annotations

from taskbound.wire.frame import Message

__all__ = ["Stop"]


class Stop(Message, frozen=True, tag="revocation:stop", tag_field="op"):
    """Throw the kill switch, or lift it. A person's act, from outside any gateway or run."""

    stopped: bool
    reason: str = ""
