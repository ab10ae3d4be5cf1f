"""Where spans go: to the collector that a setting names, or nowhere; what sends them is loaded only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.wiring.address import parse_origin

if TYPE_CHECKING:
    from taskbound.adapters.trace import OtlpSpans


def open_spans(origin: str, *, service: str) -> OtlpSpans | None:
    """What sends spans to this collector; None without one.

    Raises:
        BadAddressError: The collector's address is none.
    """
    if not origin:
        return None
    place = parse_origin(origin, secured=False, where="traces")
    from taskbound.adapters.trace import OtlpSpans  # noqa: PLC0415 -- a process without a collector needs none of it

    return OtlpSpans(place, service=service)
