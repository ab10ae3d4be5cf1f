"""OpenSSH as a target: certificates that the host admits one by one, and ends with all that they opened."""

from __future__ import annotations

from taskbound.adapters.targets.openssh.target import OpensshTarget

__all__ = ["OpensshTarget"]
