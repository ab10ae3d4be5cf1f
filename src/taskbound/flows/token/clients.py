"""Clients that people use: registered here by whoever runs the daemon, and removed.

1. The account that owns the data directory says to which addresses codes go: it says so for everybody who
   consents. Clients that have a document at their URL need none of this.
2. A client that was removed is sent nothing more, and is let in nowhere any more, in the same transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit.events import ClientAdded, ClientRemoved
from taskbound.core.identity import NotOwnerError
from taskbound.core.token.authorization.client import registered_client
from taskbound.core.token.authorization.errors import ClientExistsError, UnknownClientError
from taskbound.flows.token.admitting import end_admissions_of
from taskbound.ports.token import RegisteredClient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.token.authorization.client import Client
    from taskbound.flows.means import Actor, Means
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
