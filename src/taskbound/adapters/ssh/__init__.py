"""OpenSSH programs with keys in memory: an SSH agent inside this process."""

from __future__ import annotations

from taskbound.adapters.ssh.agent import AgentLimits, NoAgentError, SshAgent, make_folder, serve_agent
from taskbound.adapters.ssh.identity import BadSshKeyError, SshIdentity

__all__ = [
    "AgentLimits",
    "BadSshKeyError",
    "NoAgentError",
    "SshAgent",
    "SshIdentity",
    "make_folder",
    "serve_agent",
]
