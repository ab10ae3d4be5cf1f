"""A program's own client: `taskbound.sdk.guard` with where the daemon is, and what a token is bound to.

    from taskbound import Client, guard

    @guard
    def note(text: str) -> str: ...

    with Client(agent="helper").task("write it down", template="notes"):
        note("hello")

Where to find the daemon is what any program of ours does: the data directory, and what its settings say; it
starts none. Over the network nothing is looked for: origin, proof, and task or subject are said.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from taskbound.sdk.guard import async_client, client
from taskbound.sdk.guard.proof import UnreadableProofError
from taskbound.sdk.guard.speaker import Told

if TYPE_CHECKING:
    from pathlib import Path
    from ssl import SSLContext

    from taskbound.sdk.guard.link import Place
    from taskbound.sdk.guard.proof import Proof, ProofKey, SubjectToken


_TASK: Final = "TASKBOUND_TASK"


class _Outside:
    """This machine."""

    def place(self, told: Told) -> Place:
        """Where the daemon of the data directory is."""
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
        """The task that `taskbound run` told its command."""
        return os.environ.get(_TASK, "")

    def key(self, file: Path | None) -> ProofKey:
        """A new key on P-256, or the one in a file (PEM).

        Raises:
            UnreadableProofError: The file has none.
        """
        from taskbound.adapters.keys.es256 import Es256Key, read_pem  # noqa: PLC0415 -- cryptography, for HTTP

        if file is None:
            return Es256Key.generate()
        try:
            return read_pem(file.read_bytes())
        except (OSError, ValueError) as error:
            raise UnreadableProofError(f"`{file}` has no private key on P-256: {error}") from error

    def now(self) -> float:
        """By the machine's clock."""
        return time.time()


class Client(client.Client):
    """Asks for actions of an agent; for programs that block."""

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
        """Say where and for whom; nothing is done before the first call.

        Args:
            origin: `https://HOST[:PORT]` of the API; empty for the daemon of this machine.
            agent: Whose actions; that of the settings where it is not said. Not for the network: see `proof`.
            task: Which task is meant; `TASKBOUND_TASK` where it is not said.
            namespace: Where agent and task are; that of the settings where it is not said.
            home: The data directory; the user's own where it is not said.
            proof: What the agent is proven with, over the network.
            subject: Whose token starts its tasks over the network; without one a task is named.
            domain: The trust domain of transaction tokens; the origin's host where it is not said.
            trust: Whom to believe over the network instead of the system's authorities.
            wait: Seconds that people may take, should they have to be asked; 0 raises `HeldError` at once.
        """
        told = Told(
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
    """Asks for actions of an agent; for asyncio programs."""

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
        """Say where and for whom, as a `Client`; nothing is done before the first call."""
        told = Told(
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
