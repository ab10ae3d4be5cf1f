"""An authorization server as a target: access tokens, each of one client, one resource and one task."""

from __future__ import annotations

from taskbound.adapters.targets.oauth.target import Endpoint, OauthTarget, Server

__all__ = ["Endpoint", "OauthTarget", "Server"]
