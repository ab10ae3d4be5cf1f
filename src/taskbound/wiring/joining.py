"""A program's access to its task and credentials: `taskbound.sdk.credential` with the key that opens secrets.

    from taskbound.wiring.joining import join

    with join(agent="helper") as task, task.credential("orders-db") as credential:
        …

OpenSSH programs can use the key of a host credential, but can't read it:

    with join(agent="helper") as task, task.credential("build-host", "deploy") as credential:
        with ssh_agent(credential) as ssh:
            subprocess.run(["ssh", "-F", ssh.config, "build-host", "uptime"], check=True)

The daemon is found by the data directory and its settings and is never started.
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
    """Returns a connection that belongs to a task of the agent.

    Args:
        agent: Defaults to the settings.
        task: Required if several run; defaults to `TASKBOUND_TASK`.
        namespace: Defaults to the settings.
        home: Defaults to the user's data directory.
        environ: Defaults to the process's environment.

    Raises:
        TaskboundError: There is no daemon, or no such task.
    """
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
