"""Keys of agents: made, renewed, and what is signed with them.

1. The agent's owner has a new key made, and the account that owns the data directory. It is made before it
   is written down: what a crash leaves is a private key that nothing believes.
2. The row of the new one and the end of the one before are one transaction, with the record. From then on
   the one before proves nobody, whether or not the signer could be told to destroy it. It is told with the
   next renewal again, of every key of the agent that has ended: a crash in between leaves none for good.
3. Who is given a statement is seen to by the surface: a process of a running task of that agent.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from taskbound.core.audit.events.workload import AgentKeyChanged
from taskbound.core.errors import TaskboundError, UnavailableError
from taskbound.core.identity import NotOwnerError, UnknownIdentityError
from taskbound.core.identity.agent_key import AgentKey, UnknownAgentKeyError
from taskbound.ports.signer import SignerUnavailableError
from taskbound.wire.jose import parse_jwks

if TYPE_CHECKING:
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.identity import Custody, IdentityReads
    from taskbound.ports.store import Transaction


class AgentKeys:
    """Has keys made and used; from any thread, as the signer may be slow."""

    def __init__(self, means: Means, custody: Custody | None, *, audience: str) -> None:
        """Work with these.

        Args:
            means: What every flow is given.
            custody: Who keeps the private halves; None where nobody does.
            audience: Whom statements are for: our own issuer's name.
        """
        self._means = means
        self._custody = custody
        self._audience = audience

    def renew(self, namespace: str, agent: str, *, actor: Actor, owns: bool) -> AgentKey:
        """Have a new key of the agent made, which counts from now on (rules 1 and 2).

        Raises:
            UnknownIdentityError: There is no such agent.
            NotOwnerError: Rule 1.
            UnavailableError: Nobody can make it now.
        """
        with self._means.store.read() as snapshot:
            _require_owner(snapshot.identities, namespace, agent, actor, owns=owns)
        custody = self._require_custody()
        public = custody.make_key(namespace, agent)
        (jwk,) = parse_jwks(public)
        made = AgentKey(
            namespace=namespace, kid=jwk.kid, agent=agent, public=public, made=self._means.clock.now()
        )

        def work(tx: Transaction) -> tuple[str, ...]:
            before = tx.workloads.agent_keys(namespace, agent)
            _require_owner(tx.identities, namespace, agent, actor, owns=owns)
            now = self._means.clock.now()
            ending = tuple(one for one in before if one.ended is None)
            for one in ending:
                tx.workloads.end_agent_key(namespace, one.kid, now)
            tx.workloads.put_agent_key(made)
            ended = tuple(one.kid for one in ending)
            event = AgentKeyChanged(agent=agent, key=made.kid, ended=ended, by=actor.name, proof=actor.proof)
            tx.audit.append(namespace, self._means.writer, [event], now)
            return tuple(one.kid for one in before)

        try:
            over = self._means.store.write(work)
        except TaskboundError:
            self._forget(made.kid)
            raise
        for one in over:
            self._forget(one)
        return made

    def assertion(self, namespace: str, agent: str) -> str:
        """A statement of the agent, signed with its key (rule 3).

        Raises:
            UnknownAgentKeyError: It has none.
            UnavailableError: It can't be signed now.
        """
        with self._means.store.read() as snapshot:
            keys = snapshot.workloads.agent_keys(namespace, agent)
        standing = next((one for one in keys if one.ended is None), None)
        if standing is None:
            raise UnknownAgentKeyError(f"agent `{agent}` has no key")
        return self._require_custody().assert_agent(standing.kid, self._audience)

    def _forget(self, kid: str) -> None:
        with contextlib.suppress(UnavailableError):  # 2
            self._require_custody().forget_key(kid)

    def _require_custody(self) -> Custody:
        if self._custody is None:
            raise SignerUnavailableError("nobody here keeps keys of agents")
        return self._custody


def _require_owner(identities: IdentityReads, namespace: str, name: str, actor: Actor, *, owns: bool) -> None:
    agent = identities.agent(namespace, name)
    if agent is None:
        raise UnknownIdentityError(f"no agent is named `{name}`")
    if agent.owner != actor.name and not owns:
        raise NotOwnerError(
            f"only the owner of agent `{name}` has its key renewed, and that is `{agent.owner}`"
        )  # 1
