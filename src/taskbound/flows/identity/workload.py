"""Proving agents and services: a credential is verified and chooses exactly one, or the refusal is recorded.

1. The adapter of its kind verifies it; the selectors of the namespace that it is shown for choose the agent.
   What another namespace believes or selects counts for nothing here.
2. The agent is active, and somebody still answers for it (law 9).
3. Each refused credential leaves one record, within an allowance; beyond it they are counted, by code.
   Whoever proves nobody shares one allowance, and takes nothing from agents that prove themselves.
4. Proving waits for no issuer: what one has to be asked for before is told, and asked for, apart from it. A
   proof whose issuer was not asked is refused by what is known.
5. A record holds the digest of what was shown, and no part of it.
   A service is proven by a key of its own alone, and stands (`flows.identity.services`, rule 4).
6. A token of ours that is refused, or the proof of a key that came with it, leaves the same record: whoever
   replays one, or has it without its key, is looked for in the log.
"""

from __future__ import annotations

import threading
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.events import RefusalsDropped
from taskbound.core.audit.events.workload import ProofRefused
from taskbound.core.decision import Quota, TooManyRefusalsError
from taskbound.core.errors import TaskboundError
from taskbound.core.identity import UnknownIdentityError, UnprovenError, require_active
from taskbound.core.identity.agent_key import selector_of_key
from taskbound.core.identity.proof import Principal, PrincipalKind, WorkloadKind, WorkloadProof
from taskbound.core.identity.selector import select_agent
from taskbound.core.identity.service import ServiceKey
from taskbound.core.token.values import service_name
from taskbound.flows.identity.service_key import holder_of_key
from taskbound.flows.identity.services import require_service
from taskbound.ports.identity import AskingVerifier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.decision import Allowance
    from taskbound.core.identity.credential import Credential
    from taskbound.core.identity.selector import Selector, Shown
    from taskbound.flows.means import Means
    from taskbound.ports.identity import Awaited, Verifier
    from taskbound.ports.store import Snapshot


_NOBODY: Final = ("default", "")


class Proofs:
    """Proves agents; used from any thread."""

    def __init__(
        self, means: Means, verifiers: Mapping[WorkloadKind, Verifier], allowance: Allowance | None = None
    ) -> None:
        """Prove with these.

        Args:
            means: What every flow is given.
            verifiers: By kind of credential; a kind that is missing proves nobody.
            allowance: How many refusals of one agent, or of nobody, are recorded one by one.
        """
        self._means = means
        self._verifiers = dict(verifiers)
        self._quota = Quota(allowance)
        self._lock = threading.Lock()

    def prove(self, namespace: str, credential: Credential) -> Principal:
        """The one agent or service that this credential proves, now.

        Raises:
            MalformedError: It can't be read.
            DeniedError: It is not believed, or no active agent's, and no service's that stands.
            UnavailableError: Nobody can tell now.
        """
        now = self._means.clock.now()
        whose = ""
        try:
            shown = self._verified(namespace, credential, now)
            with self._means.store.read() as snapshot:
                served = _service_key(snapshot, namespace, shown)
                if served is not None:
                    whose = service_name(namespace, served.service)
                    require_service(snapshot, namespace, served.service, served.kid)
                    kind, name = PrincipalKind.SERVICE, served.service
                else:
                    whose = select_agent(shown, _selectors(snapshot, namespace, shown)).agent  # 1
                    kind, name = PrincipalKind.AGENT, whose
                    agent = snapshot.identities.agent(namespace, name)
                    if agent is None:
                        raise UnknownIdentityError(f"no agent is named `{name}`")
                    require_active(agent, snapshot.identities.persons(namespace))  # 2
        except TaskboundError as error:
            self._refuse(namespace, whose, credential, error, now)
            raise
        proof = WorkloadProof(
            kind=shown.kind,
            issuer=shown.issuer,
            subject=shown.subject,
            until=shown.until,
            binding=shown.binding,
        )
        return Principal(kind=kind, namespace=namespace, name=name, proof=proof)

    def awaited(self, namespace: str, credential: Credential) -> Awaited | None:
        """What an issuer has to be asked for before this can be proven; None for nothing (rule 4)."""
        verifier = self._verifiers.get(credential.kind)
        if not isinstance(verifier, AskingVerifier):
            return None
        return verifier.awaited(namespace, credential, self._means.clock.now())

    def ask(self, kind: WorkloadKind, awaited: Awaited) -> None:
        """Ask for it; waits for the issuer, and whether it failed is told by proving (rule 4)."""
        verifier = self._verifiers[kind]
        if isinstance(verifier, AskingVerifier):
            verifier.ask(awaited)

    def refuse(self, namespace: str, form: str, shown: str, error: TaskboundError) -> None:
        """Record that something of ours was shown, and proves nobody (rule 6).

        Args:
            namespace: Whose log has it.
            form: `token`, or `dpop` where it was a proof alone.
            shown: What was shown; its digest is kept.
            error: Why it was refused.
        """
        digest = sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()
        now = self._means.clock.now()
        with self._lock:
            try:
                self._quota.require(*_NOBODY, now, code=error.code)
            except TooManyRefusalsError:  # 3
                return
            self._quota.take(*_NOBODY, now)
        self._record(namespace, ProofRefused(form=form, code=error.code, digest=digest))  # 5

    def tell(self, *, final: bool = False) -> None:
        """Record what was counted in windows that have ended (rule 3)."""
        with self._lock:
            dropped = self._quota.dropped(self._means.clock.now(), final=final)
            for one in dropped:
                event = RefusalsDropped(agent=one.agent, since=one.since, count=one.count, codes=one.codes)
                self._record(one.namespace, event)
                self._quota.told((one,))

    def _verified(self, namespace: str, credential: Credential, now: Instant) -> Shown:
        verifier = self._verifiers.get(credential.kind)
        if verifier is None:
            raise UnprovenError(f"nothing here reads a credential of kind {credential.kind.value}")
        return verifier.verify(namespace, credential, now)

    def _refuse(
        self, namespace: str, agent: str, credential: Credential, error: TaskboundError, now: Instant
    ) -> None:
        holder = (namespace, agent) if agent else _NOBODY
        with self._lock:
            try:
                self._quota.require(*holder, now, code=error.code)
            except TooManyRefusalsError:  # 3
                return
            self._quota.take(*holder, now)
        event = ProofRefused(
            form=credential.kind.value, code=error.code, digest=credential.digest, agent=agent
        )  # 5
        self._record(namespace, event)

    def _record(self, namespace: str, event: Event) -> None:
        means = self._means
        means.store.write(lambda tx: tx.audit.append(namespace, means.writer, [event], means.clock.now()))


def _service_key(snapshot: Snapshot, namespace: str, shown: Shown) -> ServiceKey | None:
    """The key of a service that this was signed with; None where it was none."""
    key = holder_of_key(snapshot, namespace, shown.subject) if shown.kind is WorkloadKind.KEY else None
    return key if isinstance(key, ServiceKey) else None


def _selectors(snapshot: Snapshot, namespace: str, shown: Shown) -> Sequence[Selector]:
    """Those that can choose by what was shown; a key of ours chooses by its own row."""
    if shown.kind is WorkloadKind.KEY:
        key = snapshot.workloads.agent_key(namespace, shown.subject)
        return [] if key is None or key.ended is not None else [selector_of_key(key)]
    return snapshot.workloads.selectors_of(namespace, shown.kind, shown.issuer)
