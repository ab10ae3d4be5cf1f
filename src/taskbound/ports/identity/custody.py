"""Whoever keeps the private keys of agents.

The port exists for a security reason: neither an agent's process nor the daemon holds a key that proves an
agent.
"""

from __future__ import annotations

from typing import Protocol


class Custody(Protocol):
    """Keeps keys, and signs with them who their agents are; nothing else is ever signed with them."""

    def make_key(self, namespace: str, agent: str) -> bytes:
        """A new key of this agent, durable: its public half, a JSON Web Key in canonical form.

        Its `kid` is its thumbprint (RFC 7638).

        Raises:
            UnavailableError: It can't be made now.
        """

    def assert_agent(self, kid: str, audience: str) -> str:
        """A statement of the agent whose key this is, for this audience (rfc7523bis): it lives a minute.

        Raises:
            UnknownAgentKeyError: There is no such key.
            UnavailableError: It can't be signed now.
        """

    def forget_key(self, kid: str) -> None:
        """Destroy the key; nothing happens when there is none.

        Raises:
            UnavailableError: That can't be done now.
        """
