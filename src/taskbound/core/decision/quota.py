"""Limits the refusals recorded for each agent by a token bucket.

Each recorded refusal takes a token; a permit takes none. An agent without tokens gets no decision: its calls
are refused and only counted. The counts are written in one record when their window ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError

if TYPE_CHECKING:
    from taskbound.core.clock import Instant


WINDOW: Final = 10_000_000
"""µs for which dropped refusals are counted before a record says how many there were."""
_SECOND: Final = 1_000_000
_CODES: Final = 16
_OTHER: Final = "other"


class TooManyRefusalsError(DeniedError):
    """The agent exceeded its limit of refused calls; try again in a moment."""

    code = "too-many-refusals"
    remedy = "stop asking for what is refused; wait some seconds, then ask for what the task covers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The bucket's size and its tokens per second."""

    burst: int = 100
    rate: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Refusals that were counted and not recorded one by one."""

    namespace: str
    agent: str
    since: Instant
    count: int
    codes: tuple[str, ...]
    """``code=count``, in order of the codes."""


class _Bucket:
    __slots__ = ("at", "counts", "level", "since")

    def __init__(self, level: int, at: Instant) -> None:
        self.level = level
        """Millionths of a token."""
        self.at = at
        self.since: Instant | None = None
        self.counts: dict[str, int] = {}


class Quota:
    """The buckets of all agents; unknown agent names share one bucket."""

    def __init__(self, allowance: Allowance | None = None) -> None:
        self._allowance = allowance or Allowance()
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def require(self, namespace: str, agent: str, now: Instant, *, code: str = "", times: int = 1) -> None:
        """Raises TooManyRefusalsError if the bucket is empty, and counts the refusals under their code."""
        bucket = self._bucket(namespace, agent, now)
        if bucket.level >= _SECOND:
            return
        if bucket.since is None:
            bucket.since = now
        word = code or TooManyRefusalsError.code
        if word not in bucket.counts and len(bucket.counts) >= _CODES:
            word = _OTHER
        bucket.counts[word] = bucket.counts.get(word, 0) + times
        raise TooManyRefusalsError("too much that was asked for was refused; this was not decided")

    def take(self, namespace: str, agent: str, now: Instant) -> None:
        """Takes a token for a recorded refusal; refusals of one group may make the bucket negative."""
        self._bucket(namespace, agent, now).level -= _SECOND

    def dropped(self, now: Instant, *, final: bool = False) -> tuple[Dropped, ...]:
        """Returns the counts of the windows that have ended, or all counts if final."""
        return tuple(
            Dropped(
                namespace=namespace,
                agent=agent,
                since=one.since,
                count=sum(one.counts.values()),
                codes=tuple(f"{code}={count}" for code, count in sorted(one.counts.items())),
            )
            for (namespace, agent), one in sorted(self._buckets.items())
            if one.since is not None and (final or now - one.since >= WINDOW)
        )

    def told(self, dropped: tuple[Dropped, ...]) -> None:
        """Clears counts that were recorded."""
        for one in dropped:
            bucket = self._buckets[one.namespace, one.agent]
            bucket.since, bucket.counts = None, {}

    def _bucket(self, namespace: str, agent: str, now: Instant) -> _Bucket:
        whole = self._allowance.burst * _SECOND
        bucket = self._buckets.get((namespace, agent))
        if bucket is None:
            bucket = self._buckets[namespace, agent] = _Bucket(whole, now)
        bucket.level = min(whole, bucket.level + (now - bucket.at) * self._allowance.rate)
        bucket.at = now
        return bucket
