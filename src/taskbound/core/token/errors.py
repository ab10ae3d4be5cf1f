"""What is wrong with a token, or with asking for one."""

from __future__ import annotations

from taskbound.core.errors import DeniedError

__all__ = ["ReplayedError"]


class ReplayedError(DeniedError):
    """What serves once was shown before."""

    code = "replayed"
    remedy = "make a new proof for each request, with a `jti` of its own"
