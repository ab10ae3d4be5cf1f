"""Clients that people use: registered, described, chosen and ended.

Of `clients`:

1. The account that owns the data directory says to which addresses codes go: it says so for everybody who
   consents. Clients that have a document at their URL need none of this.
2. A client that was removed is sent nothing more, and is let in nowhere any more, in the same transaction.

Of `describing`:

1. Whose document is fetched, a stranger says in a link. So nothing is fetched for a request that could not be
   answered whatever it said (`asking`), and what is fetched is fetched as issuers are (`ports.identity`):
   nothing followed, no address that is not public but of hosts that whoever runs the daemon named.
2. Nobody reaches others through us: of one address that asks, and of one host that is asked, there are so
   many fetches in a minute, and so many of all together. Who asks at once for the same client waits for one.
3. A document is known for `FRESH`: of so many clients. That there was none, or a bad one, is told to those
   who waited for it and is not kept (the draft's §5.2): whoever mends a document is known with the next
   request. No error has anything of what was answered.

Of `ending`:

1. A person ends what they consented to, what is of a task that they asked for, and what is of an agent that
   they own. The account that owns the data directory ends every one. Who acts as a person is of no task.
2. A client that nothing proves gives back what it has (RFC 7009 §2.1): a refresh token ends its admission,
   whichever of its refresh tokens it is, and without its key. Whoever has it could end it by using it twice.
3. One that another client brings is in other hands: it ends too, and that client is told nothing else than
   that it is not its own.
4. A text that is no refresh token of ours is nothing to give back, and says so to nobody (RFC 7009 §2.2).
5. What has ended stays as it ended. Ending may use the store's reserve.
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
    from taskbound.core.token.authorization.asked import Asked
    from taskbound.core.token.authorization.request import Admission, Client, ClientId
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.clock import Clock
    from taskbound.ports.identity import Documents
    from taskbound.ports.store import Transaction


def add_client(  # noqa: PLR0913 - what a client is made of, each by its name
    means: Means,
    namespace: str,
    name: str,
    *,
    shown: str,
    redirects: Sequence[str],
    actor: Actor,
    owns: bool,
) -> RegisteredClient:
    """Have a client be sent codes at these addresses.

    Args:
        means: The adapters.
        namespace: Where.
        name: Its name here, which it sends as `client_id`.
        shown: What it is called on the page of consent; empty for its name.
        redirects: Its redirect URIs.
        actor: Who says so.
        owns: Whether they have the account that owns the data directory.

    Raises:
        NotOwnerError: Rule 1.
        BadClientIdError: The name is none.
        BadClientDocumentError: What it is called can't be shown, or it has no redirect URI or too many.
        BadRedirectError: One of its redirect URIs is none.
        ClientExistsError: There is one of this name.
    """
    _require_owner(owns=owns)
    client = registered_client(name, shown or name, tuple(redirects))

    def work(tx: Transaction) -> RegisteredClient:
        if tx.authorizations.client(namespace, name) is not None:
            raise ClientExistsError(f"client `{name}` is registered")
        now = means.clock.now()
        added = RegisteredClient(namespace=namespace, client=client, added=now, by=actor.name)
        tx.authorizations.put_client(added)
        event = ClientAdded(
            client=name,
            shown=client.name,
            redirects=tuple(one.text for one in client.redirects),
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(namespace, means.writer, [event], now)
        return added

    return means.store.write(work)


def drop_client(means: Means, namespace: str, name: str, *, actor: Actor, owns: bool) -> None:
    """Send the client nothing more (rule 2).

    Raises:
        NotOwnerError: Rule 1.
        UnknownClientError: There is none of this name.
    """
    _require_owner(owns=owns)

    def work(tx: Transaction) -> None:
        if tx.authorizations.client(namespace, name) is None:
            raise UnknownClientError(f"no client is named `{name}`")
        end_admissions_of(tx, means, namespace, name, actor)  # 2
        tx.authorizations.drop_client(namespace, name)
        event = ClientRemoved(client=name, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, means.writer, [event], means.clock.now())

    means.store.write(work)


def known_client(means: Means, namespace: str, client: str) -> Client:
    """The client that a person registered under this name.

    Raises:
        UnknownClientError: Nobody did.
    """
    with means.store.read() as snapshot:
        found = snapshot.authorizations.client(namespace, client)
    if found is None:
        raise UnknownClientError("nobody registered the client that asks")
    return found.client


def _require_owner(*, owns: bool) -> None:
    if not owns:
        raise NotOwnerError(
            "only the account that owns the data directory says to which addresses codes go",
            remedy="ask whoever runs the daemon",
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
    """What clients' documents say; asked from any thread, and waits for hosts."""

    def __init__(self, documents: Documents, clock: Clock, *, private: Collection[str] = ()) -> None:
        """Know nobody yet.

        Args:
            documents: Fetches them.
            clock: Says how long ago that was.
            private: Hosts whose documents may be at addresses that are not public.
        """
        self._documents = documents
        self._clock = clock
        self._private = frozenset(private)
        self._kept: dict[str, _Kept] = {}
        self._fetches: dict[str, deque[Instant]] = {}
        self._lock = threading.Lock()

    def client(self, client: ClientId, *, address: str) -> Client:
        """What the client's document says of it.

        Args:
            client: The client.
            address: Where whoever asks is; empty where that is not known.

        Raises:
            TooManyDocumentsError: Rule 2.
            ClientUnreachableError: There is no document, or its host is not reached.
            BadClientDocumentError: It can't be believed.
        """
        kept = self._of(client.text)
        asked = self._clock.now()
        with kept.lock:
            now = self._clock.now()
            if kept.client is not None and kept.known is not None and now - kept.known < FRESH:
                return kept.client
            if kept.failure is not None and asked < kept.failure[1]:
                raise kept.failure[0]  # 2: it waited for this very fetch
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
        """Count one fetch more (rule 2).

        Raises:
            TooManyDocumentsError: That would be too many.
        """
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
    """Who asks, as far as an address says it: of IPv6 its network."""
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
    """Tasks of a person's that run, and what a new one is made of."""

    tasks: tuple[Task, ...]
    templates: tuple[Template, ...]


def choices_of(means: Means, found: Asked, person: str) -> Choices:
    """What this person may let the client in to; whether they do is looked at when they answer (`asking`)."""
    space = found.namespace
    if found.is_persons:
        return Choices(tasks=(), templates=())  # nothing is chosen for that
    with means.store.read() as snapshot:
        agent = snapshot.identities.agent(space, found.agent)
        running = snapshot.tasks.tasks(space, agent=found.agent, states=_RUNNING, limit=_LISTED)
        templates = snapshot.tasks.templates(space)
    owner = "" if agent is None else agent.owner
    return Choices(
        tasks=tuple(one for one in running if person in {one.requester, owner}),
        templates=tuple(templates[:_LISTED]),
    )


def end_admission(
    means: Means, namespace: str, admission: str, actor: Actor, *, owns: bool, why: str
) -> None:
    """Let a client in no more (rules 1 and 5).

    Args:
        means: What flows are given.
        namespace: Where.
        admission: Its id.
        actor: Who asks.
        owns: Whether they have the account that owns the data directory.
        why: In words.

    Raises:
        UnknownAdmissionError: There is none.
        ForeignTokenError: It lets a client act as another person.
        NotInChargeError: Its task is another person's, and its agent too.
    """

    def work(tx: Transaction) -> None:
        found = tx.authorizations.admission(namespace, admission)
        if found is None:
            raise UnknownAdmissionError(f"no client was let in as `{admission}`")
        if not (owns or found.person == actor.name):
            _require_in_charge(tx, found, actor)  # 1
        end_row(tx, means, found, why, actor)  # 5

    means.store.write(work, reserve=True)


def give_back_refresh(means: Means, namespace: str, text: str, client: str) -> bool:
    """End what a refresh token keeps its client let in to (rules 2 to 4); whether the text is one of ours.

    Raises:
        ForeignTokenError: It was another client's, and has ended.
    """
    try:
        digest = refresh_digest(text)
    except BadRefreshError:
        return False  # 4
    with means.store.read() as snapshot:
        if snapshot.authorizations.refresh(namespace, digest) is None:
            return False

    def work(tx: Transaction) -> Admission | None:
        shown = tx.authorizations.refresh(namespace, digest)
        found = tx.authorizations.admission(namespace, shown.admission) if shown is not None else None
        if found is not None:
            own = found.client == client
            why = "its client gave its refresh token back" if own else Leak.CLIENT.value
            end_row(tx, means, found, why, client_actor(client, "refresh-token"))
        return found

    ended = means.store.write(work, reserve=True)
    if ended is not None and ended.client != client:
        raise ForeignTokenError("the refresh token was another client's")  # 3
    return True


def _require_in_charge(tx: Transaction, admission: Admission, actor: Actor) -> None:
    if admission.is_persons:
        raise ForeignTokenError("the client acts as another person")
    task = tx.tasks.task(admission.namespace, admission.task)
    agent = tx.identities.agent(admission.namespace, admission.agent)
    if task is not None:
        require_in_charge(task, agent.owner if agent is not None else "", actor.name)
