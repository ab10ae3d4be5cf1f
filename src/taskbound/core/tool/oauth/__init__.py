"""OAuth for upstream servers: the client, and its tokens."""

from __future__ import annotations
