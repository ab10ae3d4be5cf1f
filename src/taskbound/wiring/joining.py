"""A program's own way to its task and to credentials: `taskbound.sdk.credential` with what opens secrets.

    from taskbound.wiring.joining import join

    with join(agent="helper") as task, task.credential("orders-db") as credential:
        …

With a credential of a host, OpenSSH's programs can use its key, which they can't read:

    with join(agent="helper") as task, task.credential("build-host", "deploy") as credential:
        with ssh_agent(credential) as ssh:
            subprocess.run(["ssh", "-F", ssh.config, "build-host", "uptime"], check=True)

Where to find the daemon is what any program of ours does: the
data directory, and what its settings say; it starts none.
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
    """A connection that belongs to a task of the agent.

    Args:
        agent: Whose task it is; that of the settings where it is not said.
        task: Which one is meant, where several run; `TASKBOUND_TASK` where it is not said.
        namespace: Where agent and task are; that of the settings where it is not said.
        home: The data directory; the user's own where it is not said.
        environ: The variables that are read; the process's own where none are given.

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
    """An agent for credentials of hosts, for the length of a context; none of them in a file or a variable.

    What it yields has the agent's `socket`, a `config` for `ssh -F` that knows each host by its target's
    name, and `variables` for whatever program looks for those (`SSH_AUTH_SOCK`, `SSH_CONFIG`, …).

    Args:
        credentials: What was obtained; those that are of no host are left out.

    Raises:
        BadSshCredentialError: One of a host is not whole.
        SameHostError: Two are of one host.
        BadSshKeyError: A key can't be read, or its certificate is another's.
        NoAgentError: Nothing can be served from here.
    """
    return ServedHosts(credentials)
