"""The API's own process, which also gives bodies back: the least that a server can do.

Run it as `taskbound.wiring.api`. A request with the key `echo` is read like any other, and answered with its
body.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from taskbound.surfaces.network.server import Server
from taskbound.wiring import api

if TYPE_CHECKING:
    from taskbound.surfaces.network.answer import Reply
    from taskbound.surfaces.network.head import Head


ECHO = "echo"
"""The `Idempotency-Key` of what is given back."""


class _Echoing(Server):
    """The API's server, and an echo."""

    def take(self, head: Head, body: bytes, reply: Reply) -> None:
        """Answer a whole request."""
        if head.headers.get("idempotency-key") == ECHO:
            reply.give(body)
        else:
            super().take(head, body, reply)


if __name__ == "__main__":
    vars(api)["Server"] = _Echoing
    sys.exit(api.main())
