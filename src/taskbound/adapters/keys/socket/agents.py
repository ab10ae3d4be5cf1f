"""The keys of agents as the daemon reaches them: behind the signer's socket, one connection a request.

The signer serves one connection at a time, and the log's own rounds ask it too: nobody keeps it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.adapters.keys.socket.remote import SocketSigner
from taskbound.ports.signer import SignerUnavailableError
from taskbound.wire.signer import (
    AgentKeyMade,
    AssertAgent,
    Asserted,
    ForgetAgentKey,
    Forgotten,
    MakeAgentKey,
    SignerAnswer,
)

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.wire.signer import SignerAsk


class SocketCustody:
    """Asks the signer behind a socket; used from any thread."""

    def __init__(self, path: Path) -> None:
        """Ask at this path."""
        self._path = path

    def make_key(self, namespace: str, agent: str) -> bytes:
        """A new key of this agent; its public half.

        Raises:
            SignerUnavailableError: The signer can't be reached, or can't keep it.
        """
        answer = self._ask(MakeAgentKey(namespace=namespace, agent=agent))
        if isinstance(answer, AgentKeyMade):
            return answer.public
        raise _strange()

    def assert_agent(self, kid: str, audience: str) -> str:
        """A statement of the key's agent.

        Raises:
            UnknownAgentKeyError: There is no such key.
            SignerUnavailableError: The signer can't be reached, or can't sign.
        """
        answer = self._ask(AssertAgent(kid=kid, audience=audience))
        if isinstance(answer, Asserted):
            return answer.token
        raise _strange()

    def forget_key(self, kid: str) -> None:
        """Destroy the key.

        Raises:
            SignerUnavailableError: The signer can't be reached, or can't do it.
        """
        if not isinstance(self._ask(ForgetAgentKey(kid=kid)), Forgotten):
            raise _strange()

    def _ask(self, ask: SignerAsk) -> SignerAnswer:
        signer = SocketSigner(self._path)
        try:
            return signer.ask(ask)
        finally:
            signer.close()


def _strange() -> SignerUnavailableError:
    return SignerUnavailableError("the signer answered something else than it was asked")
