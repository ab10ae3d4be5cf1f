"""GitHub as a target: installation tokens of an App, each for some repositories and permissions."""

from __future__ import annotations

from taskbound.adapters.targets.github.target import GithubTarget

__all__ = ["GithubTarget"]
