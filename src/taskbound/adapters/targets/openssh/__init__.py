"""OpenSSH as a target: certificates that the host admits singly and whose connections it can end."""

from __future__ import annotations

from taskbound.adapters.targets.openssh.target import OpensshTarget

__all__ = ["OpensshTarget"]
