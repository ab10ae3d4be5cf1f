"""Sends spans to an OpenTelemetry collector (OTLP/HTTP 1, JSON).

1. Callers never wait: the limited queue drops and counts what does not fit or the collector does not accept.
   Nothing is sent twice, and nothing goes to a redirect or proxy.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.wire.trace import Span


_log = logging.getLogger(__name__)
QUEUE: Final = 4096
"""Spans that wait at most (rule 1)."""
_AT_ONCE: Final = 512
_PAUSE: Final = 1.0
"""Seconds between two documents."""
_PATIENCE: Final = 5.0
_QUIET: Final = 60.0
_SERVER, _INTERNAL = 2, 1
_ERROR: Final = 2


class OtlpSpans:
    """Takes spans from any thread, and sends them from one of its own."""

    def __init__(self, origin: str, *, service: str, queue: int = QUEUE, pause: float = _PAUSE) -> None:
        """Starts the sending thread; `pause`: seconds between two documents, `queue`: most waiting spans."""
        self._place = urlsplit(origin)
        self._service = service
        self._most, self._pause = queue, pause
        self._waiting: deque[Span] = deque()
        self._over = threading.Event()
        self._said = 0.0
        self.dropped = 0
        """Spans that were dropped."""
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def take(self, span: Span) -> None:
        if len(self._waiting) >= self._most:
            self.dropped += 1
            return
        self._waiting.append(span)

    def close(self) -> None:
        self._over.set()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        while not self._over.wait(self._pause):
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
            try:
                self._send(some)
            except (OSError, http.client.HTTPException) as error:
                self.dropped += len(some)
                self._complain(error)
                return

    def _send(self, spans: Sequence[Span]) -> None:
        body = json.dumps(_document(spans, self._service), separators=(",", ":")).encode()
        kind = http.client.HTTPSConnection if self._place.scheme == "https" else http.client.HTTPConnection
        wire = kind(self._place.netloc, timeout=_PATIENCE)
        try:
            wire.request("POST", "/v1/traces", body, {"Content-Type": "application/json"})
            with wire.getresponse() as answer:
                answer.read(65_536)
        finally:
            wire.close()
        if answer.status != http.client.OK:
            raise ConnectionError(f"the collector answers with HTTP status {answer.status}")

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now >= self._said:
            self._said = now + _QUIET
            _log.warning("spans are dropped, %d by now: %s", self.dropped, error)


def _document(spans: Sequence[Span], service: str) -> dict[str, Any]:
    scope = {"scope": {"name": "taskbound"}, "spans": [_span(one) for one in spans]}
    resource = {"attributes": _attributes({"service.name": service})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}


def _span(one: Span) -> dict[str, Any]:
    told: dict[str, Any] = {
        "traceId": one.trace,
        "spanId": one.span,
        "name": one.name,
        "kind": _SERVER if one.serves else _INTERNAL,
        "startTimeUnixNano": str(one.began),
        "endTimeUnixNano": str(one.ended),
        "attributes": _attributes(one.attributes),
    }
    if one.parent.strip("0"):
        told["parentSpanId"] = one.parent
    if one.failed:
        told["status"] = {"code": _ERROR}
    return told


def _attributes(told: Mapping[str, str | int]) -> list[dict[str, Any]]:
    return [
        {"key": name, "value": {"intValue": str(one)} if isinstance(one, int) else {"stringValue": one}}
        for name, one in told.items()
        if one != ""
    ]
