"""The page on which people use passkeys: served for one purpose, to one person, once, and then gone."""

from __future__ import annotations

from taskbound.surfaces.api.page.server import Pages

__all__ = ["Pages"]
