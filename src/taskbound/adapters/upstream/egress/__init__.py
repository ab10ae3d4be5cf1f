"""Servers that the egress runs or reaches, as a gateway speaks to them (`ports.upstream`)."""

from __future__ import annotations

from taskbound.adapters.upstream.egress.server import EgressServer, EgressStarter

__all__ = ["EgressServer", "EgressStarter"]
