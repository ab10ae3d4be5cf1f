"""OAuth of upstream servers: the client that a server is reached as, and the tokens that it is given."""

from __future__ import annotations
