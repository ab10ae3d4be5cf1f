"""Operations on clients, their admissions and authorization requests, and the consent page.

Of `consent`:
1. A browser's request grants nothing: it creates a row that waits five minutes, within a limit
   (`flows.token.asking`).
2. Errors are sent to a client that a person registered, if the request allows it; all others appear on the
   page only. A client known by its own document receives an answer only after a person has answered, or the
   endpoint would be an open redirector (RFC 9700 §4.11.2).
3. The person who answers uses a terminal outside any gateway. They state the client and agent that they saw,
   and the answer must match.
4. Client documents are fetched in separate threads with a limit, so that a slow host delays such requests
   only.
5. Starting a task for a client needs `task:start` of the consenting person as well; a refusal is recorded.
Of `consent_page`:
1. The request belongs to the browser by its secret, and the person is the one signed in with it
   (`SignIns.person`), looked up again in the worker right before they answer.
2. A form is bound to this browser's page and this sign-in; another sign-in makes it void.
3. The rights are those of a terminal: `token:consent`, `token:consent-person` or `token:deny`, and
   `task:start` if a task is started. A form names the kind of consent, and it must be what was asked for.
4. A request whose sign-in requirement nothing here can meet is refused before sign-in: that grants nothing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from taskbound.core.identity.proof import Principal, PrincipalKind
from taskbound.core.identity.sign_in import NotSignedInError
from taskbound.core.policy.operations import OPERATIONS
from taskbound.core.task import NoTaskError
from taskbound.core.token.authorization.asked import (
    ConsentState,
    Signed,
    form_secret,
    require_demands,
    require_form,
    require_open,
    typed_code,
)
from taskbound.core.token.authorization.errors import (
    BadClientRequestError,
    NotAskedError,
    RedirectedError,
    SignInDemandedError,
    TooManyDocumentsError,
    UnknownClientError,
)
from taskbound.core.token.authorization.request import (
    NEVER,
    ClientId,
    parse_client_id,
    parse_parameters,
    refused_at,
)
from taskbound.flows.means import Actor
from taskbound.flows.task import TaskOrder
from taskbound.flows.token import add_client, choices_of, drop_client, end_admission, known_client
from taskbound.surfaces.api.auth.client import require_namespace
from taskbound.surfaces.api.auth.sign_in import require_page
from taskbound.surfaces.api.server.operation import as_giver, from_snapshot, operation
from taskbound.wire import authorization as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.core.clock import Instant
    from taskbound.core.task import Task, Template
    from taskbound.core.token.authorization.asked import ConsentRequest
    from taskbound.core.token.authorization.request import Admission, Client
    from taskbound.flows.identity.sign_in import SignedIn
    from taskbound.flows.token import Choices
    from taskbound.ports.token import RegisteredClient
    from taskbound.surfaces.api.server.connection import Connection
    from taskbound.surfaces.api.server.daemon import Daemon
    from taskbound.surfaces.api.server.operation import GiverAct, Reading
    from taskbound.wire.envelope import Answer
    from taskbound.wire.network import Shown


_LONGEST: Final = 3600
"""Seconds of a task that is started for a client and has none of its template's."""
_START: Final = "task:start"
_AT_ONCE: Final = 8
"""Documents that are waited for at once, those that wait for a thread among them (rule 4)."""


# --- the browser's -------------------------------------------------------------------------------


@operation(wire.AskConsent)
async def _ask_consent(daemon: Daemon, _connection: Connection, ask: wire.AskConsent) -> Answer:
    told = parse_parameters(ask.parameters)
    namespace, client = await daemon.read(partial(_named_by, daemon, told))
    known = await _described(daemon, client, ask.address) if isinstance(client, ClientId) else client
    begin = partial(
        daemon.network.askings.begin,
        namespace,
        ask.parameters,
        client=known,
        base=daemon.network.gateway_origin,
        issuer=daemon.network.issuer,
        signs_in=bool(await daemon.read(partial(daemon.sign_ins.choices, namespace))),
    )
    try:
        begun = await daemon.first(begin)
    except RedirectedError as error:
        if isinstance(client, ClientId):
            raise BadClientRequestError(error.message) from error  # 2
        return wire.Onward(to=refused_at(error, issuer=daemon.network.issuer))
    return _asking(begun.asked, begun.typed, browser=f"{begun.secret}.{namespace}")


@operation(wire.AwaitConsent)
async def _await_consent(daemon: Daemon, _connection: Connection, ask: wire.AwaitConsent) -> Answer:
    secret, _, namespace = ask.browser.partition(".")
    askings, issuer = daemon.network.askings, daemon.network.issuer
    found = await daemon.read(partial(askings.see, namespace, ask.asked, secret))
    if found.state is ConsentState.OPEN or not ask.take:
        return _asking(found, typed_code(secret))
    return wire.Onward(
        to=await daemon.first(partial(askings.collect, namespace, ask.asked, secret, issuer=issuer))
    )


def _named_by(daemon: Daemon, told: dict[str, str]) -> tuple[str, Client | ClientId]:
    """Returns the namespace of a request, and its client or the URL of the client's document."""
    namespace = require_namespace(daemon.adapters, told)
    client = parse_client_id(told.get("client_id", ""))
    if not client.has_document:
        return namespace, known_client(daemon.adapters, namespace, client.text)
    askings = daemon.network.askings
    askings.require_worth_describing(namespace, told, client, base=daemon.network.gateway_origin)
    return namespace, client


async def _described(daemon: Daemon, client: ClientId, address: str) -> Client:
    """Fetches the document at a client's URL (rule 4)."""
    network = daemon.network
    if network.descriptions is None:
        raise UnknownClientError("clients are known here by the names under which they were registered")
    if network.describing >= _AT_ONCE:
        raise TooManyDocumentsError(f"{_AT_ONCE} documents of clients are waited for")
    network.describing += 1
    try:
        work = partial(network.descriptions.client, client, address=address)
        return await daemon.loop.run_in_executor(network.describers, work)
    finally:
        network.describing -= 1


def _asking(asked: ConsentRequest, typed: str, *, browser: str = "") -> wire.Asking:
    return wire.Asking(
        asked=asked.id,
        typed=typed,
        answered=asked.state is not ConsentState.OPEN,
        client=asked.request.client,
        shown=asked.shown,
        host=asked.host,
        redirect=asked.request.redirect.host,
        agent=asked.agent,
        resource=asked.request.resource,
        until=asked.until,
        browser=browser,
    )


# --- the person's --------------------------------------------------------------------------------


@operation(wire.LookAtAsked)
async def _look_at_asked(daemon: Daemon, connection: Connection, ask: wire.LookAtAsked) -> Answer:
    space, askings = connection.namespace, daemon.network.askings

    def look() -> tuple[ConsentRequest, Actor]:
        actor = daemon.require_person(connection)
        return askings.look(space, ask.typed, actor), actor

    found, actor = await daemon.first(look)
    return _detail(found, await daemon.read(lambda: choices_of(daemon.adapters, found, actor.name)))


@operation(wire.ConsentToClient)
async def _consent_to_client(daemon: Daemon, connection: Connection, ask: wire.ConsentToClient) -> Answer:
    space, askings = connection.namespace, daemon.network.askings
    await daemon.read(partial(daemon.require_person, connection))  # before anything of what they ask is read
    principal = await daemon.read(partial(daemon.authority.principal_of, connection))
    order = await authorized_order(daemon, principal, ask)

    def consent() -> ConsentRequest:
        actor = daemon.require_person(connection)
        found = askings.look(space, ask.typed, actor)
        if (found.request.client, found.agent) != (ask.client, ask.agent):
            raise NotAskedError("another request waits under this code than the one that was looked at")  # 3
        return askings.consent(space, ask.typed, actor, task=ask.task, order=order)

    return _detail(await daemon.first(consent))


@operation(wire.ConsentAsPerson)
async def _consent_as_person(daemon: Daemon, connection: Connection, ask: wire.ConsentAsPerson) -> Answer:
    space, askings = connection.namespace, daemon.network.askings

    def consent() -> ConsentRequest:
        actor = daemon.require_person(connection)
        found = askings.look(space, ask.typed, actor)
        if found.request.client != ask.client:
            raise NotAskedError("another request waits under this code than the one that was looked at")  # 3
        return askings.let_act(space, ask.typed, actor)

    return _detail(await daemon.first(consent))


@operation(wire.DenyClient)
async def _deny_client(daemon: Daemon, connection: Connection, ask: wire.DenyClient) -> Answer:
    space, askings = connection.namespace, daemon.network.askings
    deny = await daemon.first(lambda: askings.deny(space, ask.typed, daemon.require_person(connection)))
    return _detail(deny)


async def authorized_order(
    daemon: Daemon, principal: Principal, ask: wire.ConsentToClient
) -> TaskOrder | None:
    """Returns the task to start for a client, once the rules let the person start it (rule 5).

    Returns None if the task runs already. Raises OperationForbiddenError, or NoTaskError if no task is named.
    """
    if ask.task:
        return None
    order = await daemon.read(partial(_order, daemon, principal.namespace, ask))
    await daemon.authority.authorize(principal, OPERATIONS[_START].name, order)
    return order


def _order(daemon: Daemon, namespace: str, ask: wire.ConsentToClient) -> TaskOrder:
    """The template supplies what the person left out."""
    with daemon.adapters.store.read() as snapshot:
        template = snapshot.tasks.template(namespace, ask.template)
    if template is None:
        raise NoTaskError(
            "neither a task that runs is named, nor a template that is known",
            remedy="name one with `--task` or `--template`",
        )
    return TaskOrder(
        namespace=namespace,
        agent=ask.agent,
        purpose=ask.purpose or template.purpose,
        seconds=ask.seconds or template.seconds or _LONGEST,
        template=template.name,
    )


def _detail(asked: ConsentRequest, choices: Choices | None = None) -> wire.AskedDetail:
    tasks, templates = (choices.tasks, choices.templates) if choices is not None else ((), ())
    return wire.AskedDetail(
        asked=asked.id,
        state=asked.state.value,
        client=asked.request.client,
        shown=asked.shown,
        host=asked.host,
        redirect=asked.request.redirect.host,
        agent=asked.agent,
        resource=asked.request.resource,
        until=asked.until,
        task=asked.task,
        tasks=tuple(map(running_row, tasks)),
        templates=tuple(map(template_row, templates)),
    )


def running_row(task: Task) -> wire.RunningTask:
    """Returns a task as a choice on the consent page."""
    return wire.RunningTask(
        task=task.id, purpose=task.purpose, requester=task.requester, deadline=task.deadline
    )


def template_row(template: Template) -> wire.OpenedBy:
    """Returns a template as a choice on the consent page."""
    return wire.OpenedBy(template=template.name, purpose=template.purpose, seconds=template.seconds)


@operation(wire.LookInPage)
async def _choose(daemon: Daemon, connection: Connection, ask: wire.LookInPage) -> Answer:
    shown, space = require_page(connection), connection.namespace

    def read() -> Answer:
        found = daemon.network.askings.see(space, ask.asked, ask.browser)
        request = found.request
        signed = _signed(daemon, shown, space)
        met = signed is not None and _is_met(found, signed)
        choices = (
            choices_of(daemon.adapters, found, signed.actor.name) if signed is not None and met else None
        )
        return wire.Choosing(
            terminal=not request.acr and request.max_age is None,
            sign_in=_sign_in(found) if daemon.sign_ins.choices(space) else "",
            person="" if signed is None else signed.actor.name,
            met=met,
            form=form_secret(ask.browser, "" if signed is None else signed.session),
            tasks=() if choices is None else tuple(map(running_row, choices.tasks)),
            templates=() if choices is None else tuple(map(template_row, choices.templates)),
        )

    return await daemon.read(read)


@operation(wire.AnswerInPage)
async def _answer(daemon: Daemon, connection: Connection, ask: wire.AnswerInPage) -> Answer:
    shown, space = require_page(connection), connection.namespace
    askings = daemon.network.askings
    found = await daemon.read(partial(askings.see, space, ask.asked, ask.browser))
    signed = await daemon.read(partial(_signed, daemon, shown, space))
    require_form(ask.form, ask.browser, "" if signed is None else signed.session)  # 2
    require_open(found, daemon.adapters.clock.now())
    if ask.answer == "unmet":
        nobody = Actor(name="nobody", proof="no sign-in meets the client's requirement")
        await daemon.first(partial(askings.deny_here, found, nobody, unmet=True))  # 4
        return Done()
    if signed is None:
        raise NotSignedInError("no person is signed in with this browser")
    principal = Principal(
        kind=PrincipalKind.PERSON, namespace=space, name=signed.actor.name, proof=signed.proof
    )
    if ask.answer == "deny":
        await daemon.authority.authorize(principal, "token:deny", wire.DenyClient(typed=""))
        await daemon.first(lambda: askings.deny_here(found, _again(daemon, shown, signed).actor))
        return Done()
    if ask.person != found.is_persons or (ask.person and (ask.task or ask.template)):
        raise NotAskedError(
            "the form says yes to something else than what is asked", remedy="open the page anew"
        )  # 3
    if found.is_persons:
        as_person = wire.ConsentAsPerson(typed="", client=found.request.client)
        await daemon.authority.authorize(principal, "token:consent-person", as_person)  # 3

        def let_act() -> ConsentRequest:
            now = _again(daemon, shown, signed)
            how = Signed(acr=now.acr, authenticated=now.authenticated, session=now.session)
            return askings.let_act_here(found, now.actor, how)

        await daemon.first(let_act)
        return Done()
    told = wire.ConsentToClient(
        typed="",
        client=found.request.client,
        agent=found.agent,
        task=ask.task,
        template=ask.template,
        purpose=ask.purpose,
    )
    await daemon.authority.authorize(principal, "token:consent", told)  # 3
    order = await authorized_order(daemon, principal, told)

    def consent() -> ConsentRequest:
        now = _again(daemon, shown, signed)
        return askings.consent_here(
            found, now.actor, acr=now.acr, authenticated=now.authenticated, task=ask.task, order=order
        )

    await daemon.first(consent)
    return Done()


def _signed(daemon: Daemon, shown: Shown, namespace: str) -> SignedIn | None:
    try:
        found = daemon.sign_ins.person(shown)
    except NotSignedInError:
        return None
    return found if found.namespace == namespace else None


def _again(daemon: Daemon, shown: Shown, before: SignedIn) -> SignedIn:
    """Looks the same sign-in up again right before it takes effect (rule 1)."""
    found = daemon.sign_ins.person(shown)
    if (found.session, found.actor.name) != (before.session, before.actor.name):
        raise NotSignedInError("another person has signed in with this browser since then")
    return found


def _is_met(found: ConsentRequest, signed: SignedIn) -> bool:
    try:
        require_demands(found, signed.acr, signed.authenticated)
    except SignInDemandedError:
        return False
    return True


def _sign_in(found: ConsentRequest) -> str:
    """Returns the sign-in address that meets the client's requirement and leads back to the page."""
    request = found.request
    wanted = {"return": f"/oauth/authorize/{found.id}", "namespace": found.namespace}
    if request.max_age is not None:
        wanted["max_age"] = str(request.max_age)
    if request.acr:
        wanted["acr"] = request.acr[0]
    return f"/sign-in?{urlencode(wanted)}"


_PAGE: Final = 200


@operation(wire.AddClient)
async def _put_client(daemon: Daemon, connection: Connection, ask: wire.AddClient) -> Answer:
    def work() -> RegisteredClient:
        actor, owns = daemon.require_giver(connection)
        return add_client(
            daemon.adapters,
            connection.namespace,
            ask.client,
            shown=ask.shown,
            redirects=ask.redirects,
            actor=actor,
            owns=owns,
        )

    return _row(await daemon.first(work))


@as_giver(wire.RemoveClient)
def _remove_client(act: GiverAct, ask: wire.RemoveClient) -> None:
    drop_client(act.adapters, act.namespace, ask.client, actor=act.actor, owns=act.owns)


@from_snapshot(wire.ListClients)
def _list_clients(reading: Reading, _ask: wire.ListClients) -> Answer:
    found = reading.snapshot.authorizations.clients(reading.namespace)
    return wire.ClientRows(rows=tuple(map(_row, found)))


@from_snapshot(wire.ShowClient)
def _show_client(reading: Reading, ask: wire.ShowClient) -> Answer:
    found = reading.snapshot.authorizations.client(reading.namespace, ask.client)
    if found is None:
        raise UnknownClientError(f"no client is named `{ask.client}`")
    return _row(found)


@from_snapshot(wire.ListAdmissions)
def _list_admissions(reading: Reading, ask: wire.ListAdmissions) -> Answer:
    limit = max(1, min(ask.limit, _PAGE))
    now = reading.adapters.clock.now()
    found = reading.snapshot.authorizations.admissions(
        reading.namespace, client=ask.client, task=ask.task, limit=limit + 1, before=ask.before
    )
    rows = tuple(_admission(one, now) for one in found[:limit])
    return wire.AdmissionRows(rows=rows, more=len(found) > limit)


@as_giver(wire.EndAdmission)
def _end_one(act: GiverAct, ask: wire.EndAdmission) -> None:
    why = ask.why or "no reason given"
    end_admission(act.adapters, act.namespace, ask.admission, act.actor, owns=act.owns, why=why)


def _admission(found: Admission, now: Instant) -> wire.AdmissionRow:
    over = "over" if now >= found.until else "stands"
    return wire.AdmissionRow(
        admission=found.id,
        client=found.client,
        agent=found.agent,
        task=found.task,
        person=found.person,
        resource=found.resource,
        state=over if found.ended == NEVER else "ended",
        begun=found.begun,
        until=found.until,
        bound=bool(found.jkt),
        ended=None if found.ended == NEVER else found.ended,
        why=found.why,
    )


def _row(found: RegisteredClient) -> wire.ClientRow:
    return wire.ClientRow(
        client=found.client.id,
        shown=found.client.name,
        redirects=tuple(one.text for one in found.client.redirects),
        added=found.added,
        by=found.by,
    )
