"""Opens the exporter of trace spans to the configured collector; its code is loaded only if there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.wiring.address import parse_origin

if TYPE_CHECKING:
    from taskbound.adapters.trace import OtlpSpans


def open_spans(origin: str, *, service: str) -> OtlpSpans | None:
    """Returns the exporter, or None without a collector; raises BadAddressError for a malformed address."""
    if not origin:
        return None
    place = parse_origin(origin, secured=False, where="traces")
    from taskbound.adapters.trace import OtlpSpans  # noqa: PLC0415 -- a process without a collector needs none of it

    return OtlpSpans(place, service=service)
