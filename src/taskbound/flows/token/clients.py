"""Clients that people use: registered, described, chosen and ended.

- Only the account that owns the data directory registers redirect URIs, as they affect everyone who consents.
  Clients with a document at their URL need no registration.
- The URL comes from a stranger's link. A document is fetched only for a request that could be answered,
  without redirects and only from public addresses or configured hosts (`ports.identity`). Fetches are limited
  per minute by asking address, by host and in all.
- An unauthenticated client may revoke by any of its refresh tokens, without key (RFC 7009 §2.1). A refresh
  token shown by another client is compromised: the admission ends.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import field
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.events import ClientAdded, ClientRemoved
from taskbound.core.clock import minutes
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.identity import NotOwnerError
from taskbound.core.task import TaskState, require_in_charge
from taskbound.core.token import ForeignTokenError
from taskbound.core.token.authorization.errors import (
    BadRefreshError,
    ClientExistsError,
    ClientUnreachableError,
    TooManyDocumentsError,
    UnknownAdmissionError,
    UnknownClientError,
)
from taskbound.core.token.authorization.request import (
    Leak,
    parse_client_document,
    refresh_digest,
    registered_client,
)
from taskbound.flows.token.admitting import client_actor, end_admissions_of, end_row
from taskbound.ports.identity import IssuerUnreachableError
from taskbound.ports.token import RegisteredClient

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from taskbound.core.clock import Instant
    from taskbound.core.task import Task, Template
    from taskbound.core.token.authorization.asked import ConsentRequest
    from taskbound.core.token.authorization.request import Admission, Client, ClientId
    from taskbound.flows.means import Actor, Adapters
    from taskbound.ports.clock import Clock
    from taskbound.ports.identity import Documents
    from taskbound.ports.store import Transaction


def add_client(  # noqa: PLR0913 - what a client is made of, each by its name
    adapters: Adapters,
    namespace: str,
    name: str,
    *,
    shown: str,
    redirects: Sequence[str],
    actor: Actor,
    owns: bool,
) -> RegisteredClient:
    """Registers a client with redirect URIs; `shown` is its display name, empty for `name`."""
    _require_owner(owns=owns)
    client = registered_client(name, shown or name, tuple(redirects))

    def work(tx: Transaction) -> RegisteredClient:
        if tx.authorizations.client(namespace, name) is not None:
            raise ClientExistsError(f"client `{name}` is registered")
        now = adapters.clock.now()
        added = RegisteredClient(namespace=namespace, client=client, added=now, by=actor.name)
        tx.authorizations.put_client(added)
        event = ClientAdded(
            client=name,
            shown=client.name,
            redirects=tuple(one.text for one in client.redirects),
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(namespace, adapters.writer, [event], now)
        return added

    return adapters.store.write(work)


def drop_client(adapters: Adapters, namespace: str, name: str, *, actor: Actor, owns: bool) -> None:
    _require_owner(owns=owns)

    def work(tx: Transaction) -> None:
        if tx.authorizations.client(namespace, name) is None:
            raise UnknownClientError(f"no client is named `{name}`")
        end_admissions_of(tx, adapters, namespace, name, actor)
        tx.authorizations.drop_client(namespace, name)
        event = ClientRemoved(client=name, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())

    adapters.store.write(work)


def known_client(adapters: Adapters, namespace: str, client: str) -> Client:
    with adapters.store.read() as snapshot:
        found = snapshot.authorizations.client(namespace, client)
    if found is None:
        raise UnknownClientError("the client is not registered")
    return found.client


def _require_owner(*, owns: bool) -> None:
    if not owns:
        raise NotOwnerError(
            "only the account that owns the data directory says to which addresses codes go",
            remedy="ask the operator of the daemon",
        )


FRESH: Final = minutes(5)
_MOST: Final = 256
"""Clients that are known; beyond that the first ones are forgotten."""
_MINUTE: Final = minutes(1)
_OF_ADDRESS: Final = 10
_OF_HOST: Final = 10
_OF_ALL: Final = 60
_NETWORK: Final = 64
"""Bits of an IPv6 address that are one asker's."""


@dataclass(slots=True)
class _Kept:
    lock: threading.Lock = field(default_factory=threading.Lock)
    client: Client | None = None
    known: Instant | None = None
    """Since when it is."""
    failure: tuple[TaskboundError, Instant] | None = None
    """Why the last fetch brought none, and when that was known."""


class Descriptions:
    """Fetches clients' documents; thread-safe, blocks on the network."""

    def __init__(self, documents: Documents, clock: Clock, *, private: Collection[str] = ()) -> None:
        """`private` names hosts whose documents may be at addresses that are not public."""
        self._documents = documents
        self._clock = clock
        self._private = frozenset(private)
        self._kept: dict[str, _Kept] = {}
        self._fetches: dict[str, deque[Instant]] = {}
        self._lock = threading.Lock()

    def client(self, client: ClientId, *, address: str) -> Client:
        """Returns the client as its document describes it; `address` is the caller's, empty if unknown."""
        kept = self._of(client.text)
        asked = self._clock.now()
        with kept.lock:
            now = self._clock.now()
            if kept.client is not None and kept.known is not None and now - kept.known < FRESH:
                return kept.client
            if kept.failure is not None and asked < kept.failure[1]:
                raise kept.failure[0]  # it waited for this very fetch
            self._count(_asker(address), client.host, now)
            kept.client, kept.failure = None, None
            try:
                kept.client, kept.known = self._fetched(client), now
            except TaskboundError as error:
                kept.failure = error, self._clock.now()
                raise
            return kept.client

    def _fetched(self, client: ClientId) -> Client:
        try:
            raw = self._documents.fetch(client.text, private=client.host in self._private)
        except IssuerUnreachableError as error:
            raise ClientUnreachableError("the client's document can't be fetched") from error
        if raw is None:
            raise ClientUnreachableError("there is no document at the client's URL")
        return parse_client_document(raw, client)

    def _of(self, text: str) -> _Kept:
        with self._lock:
            found = self._kept.get(text)
            if found is None:
                while len(self._kept) >= _MOST:
                    del self._kept[next(iter(self._kept))]
                found = self._kept[text] = _Kept()
            return found

    def _count(self, asker: str, host: str, now: Instant) -> None:
        with self._lock:
            wanted = {f"from {asker}": _OF_ADDRESS, f"of {host}": _OF_HOST, "all": _OF_ALL}
            for name in [one for one, times in self._fetches.items() if now - times[-1] >= _MINUTE]:
                del self._fetches[name]
            counted = [(self._fetches.setdefault(name, deque()), most) for name, most in wanted.items()]
            for times, _ in counted:
                while times and now - times[0] >= _MINUTE:
                    times.popleft()
            full = any(len(times) >= most for times, most in counted)
            if not full:
                for times, _ in counted:
                    times.append(now)
            for name in [one for one, times in self._fetches.items() if not times]:
                del self._fetches[name]
        if full:
            raise TooManyDocumentsError("too many documents of clients were fetched within a minute")


def _asker(address: str) -> str:
    try:
        seen = ip_address(address)
    except ValueError:
        return address
    if not isinstance(seen, IPv6Address):
        return str(seen)
    if seen.ipv4_mapped is not None:
        return str(seen.ipv4_mapped)
    return f"{int(seen) >> (128 - _NETWORK):x}"


_LISTED: Final = 50
"""Tasks and templates at most; of tasks the newest."""
_RUNNING: Final = frozenset({TaskState.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """A person's running tasks, and the templates for a new one."""

    tasks: tuple[Task, ...]
    templates: tuple[Template, ...]


def choices_of(adapters: Adapters, found: ConsentRequest, person: str) -> Choices:
    """Returns what this person may consent to; entitlement is checked when they answer (`asking`)."""
    space = found.namespace
    if found.is_persons:
        return Choices(tasks=(), templates=())  # nothing is chosen for that
    with adapters.store.read() as snapshot:
        agent = snapshot.identities.agent(space, found.agent)
        running = snapshot.tasks.tasks(space, agent=found.agent, states=_RUNNING, limit=_LISTED)
        templates = snapshot.tasks.templates(space)
    owner = "" if agent is None else agent.owner
    return Choices(
        tasks=tuple(one for one in running if person in {one.requester, owner}),
        templates=tuple(templates[:_LISTED]),
    )


def end_admission(
    adapters: Adapters, namespace: str, admission: str, actor: Actor, *, owns: bool, why: str
) -> None:
    def work(tx: Transaction) -> None:
        found = tx.authorizations.admission(namespace, admission)
        if found is None:
            raise UnknownAdmissionError(f"no client was let in as `{admission}`")
        if not (owns or found.person == actor.name):
            _require_in_charge(tx, found, actor)
        end_row(tx, adapters, found, why, actor)

    adapters.store.write(work, reserve=True)


def give_back_refresh(adapters: Adapters, namespace: str, text: str, client: str) -> bool:
    """Ends a refresh token's admission; returns whether the token is ours."""
    try:
        digest = refresh_digest(text)
    except BadRefreshError:
        return False
    with adapters.store.read() as snapshot:
        if snapshot.authorizations.refresh(namespace, digest) is None:
            return False

    def work(tx: Transaction) -> Admission | None:
        shown = tx.authorizations.refresh(namespace, digest)
        found = tx.authorizations.admission(namespace, shown.admission) if shown is not None else None
        if found is not None:
            own = found.client == client
            why = "its client gave its refresh token back" if own else Leak.CLIENT.value
            end_row(tx, adapters, found, why, client_actor(client, "refresh-token"))
        return found

    ended = adapters.store.write(work, reserve=True)
    if ended is not None and ended.client != client:
        raise ForeignTokenError("the refresh token was another client's")
    return True


def _require_in_charge(tx: Transaction, admission: Admission, actor: Actor) -> None:
    if admission.is_persons:
        raise ForeignTokenError("the client acts as another person")
    task = tx.tasks.task(admission.namespace, admission.task)
    agent = tx.identities.agent(admission.namespace, admission.agent)
    if task is not None:
        require_in_charge(task, agent.owner if agent is not None else "", actor.name)
