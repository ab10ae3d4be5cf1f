"""Redis and Valkey as a target: one user per credential, on every node."""

from __future__ import annotations

from taskbound.adapters.targets.redis.target import RedisTarget

__all__ = ["RedisTarget"]
