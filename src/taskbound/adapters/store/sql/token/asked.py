"""A request for a code, in the columns of its row; what the client asked for is one of them, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.clock import Instant
from taskbound.core.token.authorization.asked import Asked, AskedState, Signed
from taskbound.core.token.authorization.redirect import Redirect
from taskbound.core.token.authorization.request import AuthorizationRequest

if TYPE_CHECKING:
    from taskbound.adapters.store.sql.rows.link import Value


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


def write_asked(asked: Asked) -> dict[str, Value]:
    """The columns of a request, by name."""
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
) -> Asked:
    """The request of a row."""
    kept = _READ.decode(request)
    return Asked(
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
        state=AskedState(state),
        person=person,
        task=task,
        code=code,
        coded=Instant(coded),
        admission=admission,
        version=version,
        signed=Signed(acr=acr, authenticated=Instant(authenticated), session=session),
    )
