"""Client for agent programs: `taskbound.sdk.guard` with the location of the daemon and of the proof key.

The program finds the daemon by the data directory and its settings and never starts it.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from taskbound.sdk.guard import async_client, client
from taskbound.sdk.guard.proof import UnreadableProofError
from taskbound.sdk.guard.speaker import ClientSettings

if TYPE_CHECKING:
    from pathlib import Path
    from ssl import SSLContext

    from taskbound.sdk.guard.link import Place
    from taskbound.sdk.guard.proof import Proof, ProofKey, SubjectToken


_TASK: Final = "TASKBOUND_TASK"


class _Outside:
    def place(self, told: ClientSettings) -> Place:
        from taskbound.sdk.guard.link import Place  # noqa: PLC0415 -- nothing is loaded before it is used
        from taskbound.wiring.home import find_home  # noqa: PLC0415 -- as above
        from taskbound.wiring.settings import read_settings  # noqa: PLC0415 -- as above
        from taskbound.wiring.start import find_daemon  # noqa: PLC0415 -- as above

        home = find_home(told.home, os.environ)
        settings = read_settings(home, os.environ)
        return Place(
            socket=find_daemon(home, socket=settings.socket, may_start=False),
            namespace=told.namespace or settings.namespace,
            agent=told.agent or settings.agent,
            task=told.task or self.task(),
            template=settings.template,
        )

    def task(self) -> str:
        return os.environ.get(_TASK, "")

    def key(self, file: Path | None) -> ProofKey:
        from taskbound.adapters.keys.es256 import Es256Key, read_pem  # noqa: PLC0415 -- cryptography, for HTTP

        if file is None:
            return Es256Key.generate()
        try:
            return read_pem(file.read_bytes())
        except (OSError, ValueError) as error:
            raise UnreadableProofError(f"`{file}` has no private key on P-256: {error}") from error

    def now(self) -> float:
        return time.time()


class Client(client.Client):
    """Blocking client that requests actions for an agent."""

    def __init__(  # noqa: PLR0913 -- each by its name
        self,
        origin: str = "",
        *,
        agent: str = "",
        task: str = "",
        namespace: str = "",
        home: str = "",
        proof: Proof | None = None,
        subject: SubjectToken | None = None,
        domain: str = "",
        trust: SSLContext | None = None,
        wait: float = 0.0,
    ) -> None:
        """Configures the client; it connects at the first call.

        Args:
            origin: `https://HOST[:PORT]` of the API; empty for the local daemon.
            agent: Agent name, for the local daemon only; defaults to the settings. See `proof` for the
                network.
            task: Task identifier; defaults to `TASKBOUND_TASK`.
            namespace: Namespace of agent and task; defaults to the settings.
            home: Data directory; defaults to the user's own.
            proof: Proof of the agent's identity, over the network.
            subject: Token of the person for whom tasks start over the network; without it a task is named.
            domain: Trust domain of transaction tokens; defaults to the origin's host.
            trust: Certificate authorities used instead of the system's.
            wait: Seconds to wait for approvers; 0 raises `HeldError` at once.
        """
        told = ClientSettings(
            origin=origin,
            agent=agent,
            task=task,
            namespace=namespace,
            home=home,
            proof=proof,
            subject=subject,
            domain=domain,
            trust=trust,
            wait=wait,
        )
        super().__init__(told, _Outside())


class AsyncClient(async_client.AsyncClient):
    """asyncio client that requests actions for an agent; takes the arguments of `Client`."""

    def __init__(  # noqa: PLR0913 -- each by its name
        self,
        origin: str = "",
        *,
        agent: str = "",
        task: str = "",
        namespace: str = "",
        home: str = "",
        proof: Proof | None = None,
        subject: SubjectToken | None = None,
        domain: str = "",
        trust: SSLContext | None = None,
        wait: float = 0.0,
    ) -> None:
        told = ClientSettings(
            origin=origin,
            agent=agent,
            task=task,
            namespace=namespace,
            home=home,
            proof=proof,
            subject=subject,
            domain=domain,
            trust=trust,
            wait=wait,
        )
        super().__init__(told, _Outside())
