"""Findings about trust domains: the source of each bundle, and stale ones."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from taskbound.surfaces.cli.screen import shown
from taskbound.wire.workload import ListTrusts, TrustRows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.sdk.client import Client


_SECOND: Final = 1_000_000


def look_at_trusts(client: Client) -> Iterator[tuple[str, str, str, str]]:
    """Yield findings about every trust domain."""
    for one in client.ask(ListTrusts(), TrustRows).rows:
        age = max(0, time.time_ns() // 1000 - one.confirmed) // _SECOND
        fresh = f"confirmed {age} s ago" if one.confirmed else "never confirmed"
        text = (
            f"trust domain {shown(one.domain)}, from {one.source} {shown(one.place)}: {fresh}, of at most"
            f" {one.bound} s; sequence {one.sequence}; {one.x509} authorities for X.509-SVIDs, {one.jwt} for"
            " JWT-SVIDs"
        )
        if one.trouble:
            text += f"; its source does not answer: {shown(one.trouble)}"
        if one.stale:
            advice = "mend its source; until then no workload of it is proven"
            yield "bad", "trust", f"{text}; it is stale, and nothing of it counts", advice
        elif not one.x509 + one.jwt:
            yield (
                "warn",
                "trust",
                f"{text}; nothing of it counts",
                "ask its operator whether it was withdrawn",
            )
        elif one.trouble:
            yield "warn", "trust", text, "mend its source before the bundle is stale"
        else:
            yield "ok", "trust", text, ""
