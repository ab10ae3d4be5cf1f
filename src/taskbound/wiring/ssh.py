"""Hosts for OpenSSH's programs: an agent with what opens them beside a configuration, in a folder of its own.

1. The folder is this account's alone. In it stand public things and a socket: no secret is in any file.
2. It is made before anybody is served, so that a process may still be forked in between. It is gone when it
   is closed; where this process is killed before that, what it holds is as public as it was.
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
    """Some hosts' credentials, which programs can use and not read, from `start` to `stop`."""

    def __init__(self, credentials: Iterable[TaskCredential]) -> None:
        """Make the folder; nobody is served yet (rule 2).

        Args:
            credentials: What was obtained; those that are of no host are left out.

        Raises:
            BadSshCredentialError: One of a host is not whole.
            SameHostError: Two are of one host.
            BadSshKeyError: A key can't be read, or its certificate is another's.
            NoAgentError: There is no room for them, or nothing can listen.
        """
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
        """Serve from now on; once."""
        self._agent.start()

    def stop(self) -> None:
        """Serve nobody any more, open connections neither; once more changes nothing."""
        self._agent.close()

    def close(self) -> None:
        """Serve nobody any more, and remove the folder; once more changes nothing.

        Raises:
            NoAgentError: Something of the folder is still there.
        """
        self.stop()
        self._remove()
        if self.folder.exists():
            raise NoAgentError(f"`{self.folder}` can't be removed")

    def __enter__(self) -> Self:
        """Use as a context."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close at the end."""
        self.close()

    def _remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)  # whoever calls looks, or has another error to tell
