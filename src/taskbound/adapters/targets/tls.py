"""Trusted authorities of a target reached by TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskbound.core.target import BadTargetError

if TYPE_CHECKING:
    import ssl


class _Place(Protocol):
    @property
    def tls(self) -> bool: ...
    @property
    def roots(self) -> str: ...


def require_tls(place: _Place, whose: str) -> ssl.SSLContext | None:
    """Returns the TLS context, None without TLS; raises BadTargetError that names `whose` authorities."""
    import ssl  # noqa: PLC0415 - what is on this machine's loopback needs none

    if not place.tls:
        return None
    try:
        return ssl.create_default_context(cafile=place.roots or None)
    except (OSError, ValueError):
        raise BadTargetError(f"the file of {whose} authorities can't be read where the broker runs") from None
