"""Spans to a collector, by OTLP over HTTP."""

from __future__ import annotations

from taskbound.adapters.trace.otlp import OtlpSpans

__all__ = ["OtlpSpans"]
