"""OAuth clients, requests, admissions and refresh tokens in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import delete, insert, select

from taskbound.adapters.store.sql.record import TEXTS, Record
from taskbound.adapters.store.sql.rows import Statement, TableGroup, Versioned, given, json_texts, read_texts
from taskbound.adapters.store.sql.schema.token import (
    token_admissions,
    token_clients,
    token_refreshes,
    token_requests,
)
from taskbound.core.clock import Instant
from taskbound.core.token.authorization.asked import ConsentRequest, ConsentState, Signed
from taskbound.core.token.authorization.request import (
    Admission,
    AuthorizationRequest,
    Redirect,
    Refresh,
    registered_client,
)
from taskbound.ports.token import RegisteredClient

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.adapters.store.sql.rows import Value


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    redirect: str
    redirect_host: str
    challenge: str
    resource: str
    scope: tuple[str, ...]
    state: str
    jkt: str
    acr: tuple[str, ...]
    max_age: int | None


_READ: Final = msgspec.json.Decoder(_Request)


def write_asked(asked: ConsentRequest) -> dict[str, Value]:
    request = asked.request
    kept = _Request(
        redirect=request.redirect.text,
        redirect_host=request.redirect.host,
        challenge=request.challenge,
        resource=request.resource,
        scope=request.scope,
        state=request.state,
        jkt=request.jkt,
        acr=request.acr,
        max_age=request.max_age,
    )
    return {
        "namespace": asked.namespace,
        "id": asked.id,
        "client": request.client,
        "request": msgspec.json.encode(kept).decode(),
        "shown": asked.shown,
        "host": asked.host,
        "agent": asked.agent,
        "browser": asked.browser,
        "typed": asked.typed,
        "asked": asked.asked,
        "state": asked.state.value,
        "person": asked.person,
        "task": asked.task,
        "code": asked.code,
        "coded": asked.coded,
        "admission": asked.admission,
        "version": asked.version,
        "acr": asked.signed.acr,
        "authenticated": asked.signed.authenticated,
        "session": asked.signed.session,
    }


def read_asked(  # noqa: PLR0913, PLR0917 - the columns of a row, in order
    namespace: str,
    name: str,
    client: str,
    request: str,
    shown: str,
    host: str,
    agent: str,
    browser: str,
    typed: str,
    asked: int,
    state: str,
    person: str,
    task: str,
    code: str,
    coded: int,
    admission: str,
    version: int,
    acr: str,
    authenticated: int,
    session: str,
) -> ConsentRequest:
    kept = _READ.decode(request)
    return ConsentRequest(
        namespace=namespace,
        id=name,
        request=AuthorizationRequest(
            client=client,
            redirect=Redirect(text=kept.redirect, host=kept.redirect_host),
            challenge=kept.challenge,
            resource=kept.resource,
            scope=kept.scope,
            state=kept.state,
            jkt=kept.jkt,
            acr=kept.acr,
            max_age=kept.max_age,
        ),
        shown=shown,
        host=host,
        agent=agent,
        browser=browser,
        typed=typed,
        asked=Instant(asked),
        state=ConsentState(state),
        person=person,
        task=task,
        code=code,
        coded=Instant(coded),
        admission=admission,
        version=version,
        signed=Signed(acr=acr, authenticated=Instant(authenticated), session=session),
    )


_SPACE: Final = given("namespace")
_MINE: Final = select(token_clients).where(token_clients.c.namespace == _SPACE)
_CLIENTS: Final = Statement(_MINE.order_by(token_clients.c.id))
_CLIENT: Final = Statement(_MINE.where(token_clients.c.id == given("id")))
_PUT: Final = Statement(insert(token_clients))
_DROP: Final = Statement(
    delete(token_clients).where(token_clients.c.namespace == _SPACE, token_clients.c.id == given("id"))
)
_ASKED: Final = select(token_requests).where(token_requests.c.namespace == _SPACE)
_BY_ID: Final = Statement(_ASKED.where(token_requests.c.id == given("id")))
_BY_TYPED: Final = Statement(_ASKED.where(token_requests.c.typed == given("typed")))
_BY_CODE: Final = Statement(_ASKED.where(token_requests.c.code == given("code")))
_WAITING: Final = (
    "SELECT count(*) FROM token_requests WHERE namespace = ? AND state = ? AND asked > ?"  # an index of age
)
_DROP_ASKED: Final = Statement(
    delete(token_requests).where(
        token_requests.c.namespace == _SPACE, token_requests.c.client == given("client")
    )
)
_SWEEP_ASKED: Final = (
    "DELETE FROM token_requests WHERE (namespace, id) IN"
    " (SELECT namespace, id FROM token_requests WHERE asked < ? ORDER BY asked LIMIT ?)"
)
_PUT_ASKED: Final = Versioned(token_requests, "request")
_ADMITTED: Final = select(token_admissions).where(token_admissions.c.namespace == _SPACE)
_ADMISSION: Final = Statement(_ADMITTED.where(token_admissions.c.id == given("id")))
_ADMISSIONS_OF: Final = Statement(
    _ADMITTED.where(token_admissions.c.client == given("client"), token_admissions.c.ended == 0).order_by(
        token_admissions.c.id
    )
)
_ADMISSIONS: Final = (
    f"SELECT {', '.join(one.name for one in token_admissions.columns)} FROM token_admissions"  # noqa: S608 - our own words
    " WHERE namespace = ?1 AND (?2 = '' OR client = ?2) AND (?3 = '' OR task = ?3)"
    " AND (?4 = '' OR id < ?4) ORDER BY id DESC LIMIT ?5"
)
_REFRESH: Final = Statement(
    select(token_refreshes).where(
        token_refreshes.c.namespace == _SPACE, token_refreshes.c.digest == given("digest")
    )
)
_SWEEP_REFRESHES: Final = (
    "DELETE FROM token_refreshes WHERE (namespace, digest) IN"
    " (SELECT r.namespace, r.digest FROM token_refreshes r JOIN token_admissions a"
    " ON a.namespace = r.namespace AND a.id = r.admission WHERE a.until < ? LIMIT ?)"
)


ADMISSION_ROW: Final = Record(token_admissions, Admission, "admission", scope=TEXTS)
_REFRESH_ROW: Final = Record(token_refreshes, Refresh)


class SqlAuthorizations(TableGroup):
    """OAuth clients and requests. On PostgreSQL a transaction that reads them without a lock is exclusive."""

    __slots__ = ()

    def client(self, namespace: str, client: str) -> RegisteredClient | None:
        return self._link.one(_client, _CLIENT.text, _CLIENT.values(namespace=namespace, id=client))

    def clients(self, namespace: str) -> tuple[RegisteredClient, ...]:
        """Returns every registered client, by name in order."""
        return self._link.all(_client, _CLIENTS.text, _CLIENTS.values(namespace=namespace))

    def put_client(self, client: RegisteredClient) -> None:
        values = _PUT.values(
            namespace=client.namespace,
            id=client.client.id,
            shown=client.client.name,
            redirects=json_texts([one.text for one in client.client.redirects]),
            added=client.added,
            added_by=client.by,
        )
        self._link.change(_PUT.text, values)

    def drop_client(self, namespace: str, client: str) -> None:
        self._link.change(_DROP.text, _DROP.values(namespace=namespace, id=client))

    def asked(self, namespace: str, asked: str) -> ConsentRequest | None:
        return self._link.one(read_asked, _BY_ID.text, _BY_ID.values(namespace=namespace, id=asked))

    def asked_by(self, namespace: str, *, typed: str = "", code: str = "") -> ConsentRequest | None:
        """Returns the request with this user-code or code digest, or None."""
        if typed:
            return self._link.one(
                read_asked, _BY_TYPED.text, _BY_TYPED.values(namespace=namespace, typed=typed)
            )
        if not code:
            return None
        return self._link.one(read_asked, _BY_CODE.text, _BY_CODE.values(namespace=namespace, code=code))

    def count_asked(self, namespace: str, since: Instant) -> int:
        return self._link.one(int, _WAITING, (namespace, ConsentState.OPEN.value, since)) or 0

    def admission(self, namespace: str, admission: str) -> Admission | None:
        return self._link.one(
            ADMISSION_ROW.read, _ADMISSION.text, _ADMISSION.values(namespace=namespace, id=admission)
        )

    def admissions_of(self, namespace: str, client: str) -> tuple[Admission, ...]:
        values = _ADMISSIONS_OF.values(namespace=namespace, client=client)
        return self._link.all(ADMISSION_ROW.read, _ADMISSIONS_OF.text, values)

    def admissions(
        self, namespace: str, *, client: str = "", task: str = "", limit: int = 50, before: str = ""
    ) -> tuple[Admission, ...]:
        """Returns admissions, newest first."""
        return self._link.all(ADMISSION_ROW.read, _ADMISSIONS, (namespace, client, task, before, limit))

    def refresh(self, namespace: str, digest: str) -> Refresh | None:
        return self._link.one(
            _REFRESH_ROW.read, _REFRESH.text, _REFRESH.values(namespace=namespace, digest=digest)
        )

    def put_asked(self, asked: ConsentRequest, *, expect: int) -> None:
        _PUT_ASKED.put(self._link, expect, **write_asked(asked))

    def drop_asked_of(self, namespace: str, client: str) -> None:
        self._link.change(_DROP_ASKED.text, _DROP_ASKED.values(namespace=namespace, client=client))

    def put_admission(self, admission: Admission, *, expect: int) -> None:
        ADMISSION_ROW.put(self._link, admission, expect)

    def lock_admissions(self, namespace: str, admissions: Collection[str]) -> Mapping[str, Admission]:
        found = {name: self.admission(namespace, name) for name in admissions}
        return {name: one for name, one in found.items() if one is not None}

    def put_refresh(self, refresh: Refresh) -> None:
        _REFRESH_ROW.insert(self._link, refresh)

    def sweep_asked(self, before: Instant, *, limit: int) -> int:
        return self._link.change(_SWEEP_ASKED, (before, limit))

    def sweep_refreshes(self, before: Instant, *, limit: int) -> int:
        """Deletes up to `limit` refresh tokens whose admission ended before this; returns how many."""
        return self._link.change(_SWEEP_REFRESHES, (before, limit))


def _client(  # the columns of a row, in order
    namespace: str, name: str, shown: str, redirects: str, added: int, added_by: str
) -> RegisteredClient:
    return RegisteredClient(
        namespace=namespace,
        client=registered_client(name, shown, read_texts(redirects)),
        added=Instant(added),
        by=added_by,
    )
