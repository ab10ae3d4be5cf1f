"""A program's access to its task and credentials: `taskbound.sdk.credential` with the key that opens secrets.

The program finds the daemon by the data directory and its settings and never starts it. OpenSSH programs can
use the key of a host credential (`ssh_agent`), but can't read it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from taskbound.adapters.keys.sealing import AskerKey
from taskbound.sdk.credential import Task
from taskbound.wiring.home import find_home
from taskbound.wiring.settings import read_settings
from taskbound.wiring.ssh import ServedHosts
from taskbound.wiring.start import find_daemon

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.sdk.wish import TaskCredential


def join(
    *,
    agent: str = "",
    task: str = "",
    namespace: str = "",
    home: str = "",
    environ: Mapping[str, str] | None = None,
) -> Task:
    """Returns a connection to the agent's task; name `task` if several run. Settings give other defaults."""
    variables = os.environ if environ is None else environ
    place = find_home(home, variables)
    settings = read_settings(place, variables)
    return Task.join(
        find_daemon(place, socket=settings.socket, may_start=False),
        agent=agent or settings.agent,
        asker=AskerKey.generate,
        task=task or variables.get("TASKBOUND_TASK", ""),
        namespace=namespace or settings.namespace,
    )


def ssh_agent(*credentials: TaskCredential) -> ServedHosts:
    """Runs an SSH agent for host credentials; no secret is in a file or variable.

    Yields an object with the agent's `socket`, a `config` for `ssh -F` that knows each host by its target's
    name, and environment `variables` (`SSH_AUTH_SOCK`, `SSH_CONFIG`, …). Credentials of other targets are
    ignored.

    Raises:
        BadSshCredentialError: A host credential is incomplete.
        SameHostError: Two credentials are for one host.
        BadSshKeyError: A key can't be read, or its certificate belongs to another key.
        NoAgentError: The agent can't listen.
    """
    return ServedHosts(credentials)
