"""Redis and Valkey as a target: a user of each credential's own, on every node."""

from __future__ import annotations

from taskbound.adapters.targets.redis.target import RedisTarget

__all__ = ["RedisTarget"]
