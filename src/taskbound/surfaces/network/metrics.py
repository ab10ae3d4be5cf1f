"""What the API counts, in the text that Prometheus reads (version 0.0.4 of its format).

1. A label is a route or a status, and never what a client chose: no request makes a new series.
2. No client library: the API's process holds what passes through it alone, and counts six things.
3. What the daemon counts is told with it while the daemon answers, and left out, never told as it was, while
   it does not: `taskbound_daemon_up` says which. What is no number that the daemon told is nobody's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from taskbound.wire.network import Counted


KIND: Final = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The counters."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._answers: Counter[tuple[str, str, int]] = Counter()
        self._seconds: dict[tuple[str, str], list[int]] = {}
        self._sum: dict[tuple[str, str], float] = {}
        self.connections = 0
        """Open now."""
        self.opened = 0
        """Since the start."""
        self.untold = 0
        """Refusals that the daemon did not confirm to have recorded."""

    def count(self, verb: str, route: str, status: int, seconds: float) -> None:
        """One request was answered; the route is the path's pattern, empty where none was found."""
        self._answers[verb, route, status] += 1
        buckets = self._seconds.setdefault((verb, route), [0] * (len(_BOUNDS) + 1))
        buckets[bisect_left(_BOUNDS, seconds)] += 1
        self._sum[verb, route] = self._sum.get((verb, route), 0.0) + seconds

    def text(self, counted: Counted | None) -> bytes:
        """All of it.

        Args:
            counted: What the daemon counts; None while it does not answer (rule 3).
        """
        lines = [
            "# HELP taskbound_api_requests_total Requests that were answered.",
            "# TYPE taskbound_api_requests_total counter",
        ]
        for (verb, route, status), count in sorted(self._answers.items()):
            labels = f'method="{verb}",route="{route}",status="{status}"'
            lines.append(f"taskbound_api_requests_total{{{labels}}} {count}")
        lines += [
            "# HELP taskbound_api_request_seconds From a whole request to its answer.",
            "# TYPE taskbound_api_request_seconds histogram",
        ]
        for (verb, route), buckets in sorted(self._seconds.items()):
            labels, below = f'method="{verb}",route="{route}"', 0
            for bound, count in zip((*map(str, _BOUNDS), "+Inf"), buckets, strict=True):
                below += count
                lines.append(f'taskbound_api_request_seconds_bucket{{{labels},le="{bound}"}} {below}')
            lines.append(f"taskbound_api_request_seconds_sum{{{labels}}} {self._sum[verb, route]:.6f}")
            lines.append(f"taskbound_api_request_seconds_count{{{labels}}} {below}")
        lines += [
            "# HELP taskbound_api_connections Connections that are open.",
            "# TYPE taskbound_api_connections gauge",
            f"taskbound_api_connections {self.connections}",
            "# HELP taskbound_api_connections_total Connections that were taken.",
            "# TYPE taskbound_api_connections_total counter",
            f"taskbound_api_connections_total {self.opened}",
            "# HELP taskbound_api_untold_total Refusals of which the daemon took no word.",
            "# TYPE taskbound_api_untold_total counter",
            f"taskbound_api_untold_total {self.untold}",
            *_of_daemon(counted),
        ]
        return "".join(f"{line}\n" for line in lines).encode("ascii")


def _of_daemon(counted: Counted | None) -> list[str]:
    """What the daemon counts (rule 3)."""
    lines = _gauge("taskbound_daemon_up", "Whether the daemon answers.", int(counted is not None))
    if counted is None:
        return lines
    for name, words, value in (
        ("taskbound_brokers", "Brokers that are connected to the daemon.", counted.brokers),
        ("taskbound_credentials_living", "Credentials that live or are being minted.", counted.living),
        ("taskbound_credentials_revoking", "Credentials that are being revoked.", counted.revoking),
        ("taskbound_credentials_overdue", "Of these since more than a minute.", counted.overdue),
        (
            "taskbound_credentials_oldest_revocation_seconds",
            "How long the oldest revocation has been under way.",
            counted.oldest,
        ),
    ):
        lines += _gauge(name, words, value)
    return lines


def _gauge(name: str, words: str, value: int) -> list[str]:
    return [f"# HELP {name} {words}", f"# TYPE {name} gauge", f"{name} {value}"]
