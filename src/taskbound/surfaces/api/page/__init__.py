"""The browser page for passkeys: served for one purpose, to one person, once."""

from __future__ import annotations

from taskbound.surfaces.api.page.server import Pages

__all__ = ["Pages"]
