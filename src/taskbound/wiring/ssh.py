"""Serves host credentials to OpenSSH programs: an SSH agent and a configuration in a private folder.

1. Only this account can access the folder. It contains public data and a socket, no secret.
2. The folder is created before serving starts, so that the process can still fork. If the process is killed,
   what remains is public.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Self

from taskbound.adapters.ssh import NoAgentError, SshAgent, SshIdentity, make_folder
from taskbound.core.clock import Instant
from taskbound.sdk.ssh import AGENT, CONFIGURATION, parse_hosts, render_files, render_variables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.sdk.wish import TaskCredential


class ServedHosts:
    """Host credentials that programs can use but not read, from `start` to `stop`."""

    def __init__(self, credentials: Iterable[TaskCredential]) -> None:
        """Creates the folder; serving starts later (rule 2). Credentials of other targets are ignored."""
        hosts = parse_hosts(credentials)
        identities = [
            SshIdentity(one.private_key, one.certificate, comment=one.name, ends=Instant(one.ends))
            for one in hosts
        ]
        self.folder = make_folder()
        try:
            for name, text in render_files(self.folder, hosts).items():
                (self.folder / name).touch(0o600, exist_ok=False)
                (self.folder / name).write_text(text, encoding="ascii")
            self._agent = SshAgent(self.folder / AGENT, identities)
        except OSError as error:
            self._remove()
            raise NoAgentError(
                f"nothing can be written to `{self.folder}`: {error.strerror or error}"
            ) from error
        except BaseException:
            self._remove()
            raise
        self.socket = self.folder / AGENT
        """What programs ask, as `SSH_AUTH_SOCK`."""
        self.config = self.folder / CONFIGURATION
        """For `ssh -F`, which then knows each host by its target's name."""
        self.variables = render_variables(self.folder, hosts)
        """Where programs find all this."""

    def start(self) -> None:
        """Starts serving; may be called once."""
        self._agent.start()

    def stop(self) -> None:
        """Stops serving and closes open connections; idempotent."""
        self._agent.close()

    def close(self) -> None:
        """Stops serving and removes the folder; idempotent. Raises NoAgentError if files remain."""
        self.stop()
        self._remove()
        if self.folder.exists():
            raise NoAgentError(f"`{self.folder}` can't be removed")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)  # whoever calls looks, or has another error to tell
