"""Operations of the page of consent, for whoever is signed in with the browser that began a request.

1. A page asks, with what its browser showed: the request is the browser's by its own secret, and the person
   is whoever is signed in there (`SignIns.person`), looked for anew in the worker right before they answer.
2. A form is of this browser's page and of this sign-in; who signed in as somebody else meanwhile answers
   nothing with it.
3. What is authorized is what is authorized in a terminal: `token:consent`, `token:consent-person` or
   `token:deny`, and `task:start` where a task is started, as the person's. A form says which of the two it
   consents to, and it is what was asked for.
4. That nobody can sign in as the client wants is said without being signed in: it gives nothing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from taskbound.core.identity.proof import Principal, PrincipalKind
from taskbound.core.identity.sign_in import NotSignedInError
from taskbound.core.token.authorization.asked import (
    Signed,
    form_secret,
    require_demands,
    require_form,
    require_open,
)
from taskbound.core.token.authorization.errors import NotAskedError, SignInDemandedError
from taskbound.flows.means import Actor
from taskbound.flows.token import choices_of
from taskbound.surfaces.api.consent import authorized_order, running_row, template_row
from taskbound.surfaces.api.sign_in import require_page
from taskbound.wire import authorization as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.core.token.authorization.asked import Asked
    from taskbound.flows.identity.sign_in import SignedIn
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.envelope import Answer
    from taskbound.wire.network import Shown


async def choose(daemon: Daemon, connection: Connection, ask: wire.LookInPage) -> Answer:
    """What whoever is signed in can answer, and where they sign in otherwise."""
    shown, space = require_page(connection), connection.namespace

    def read() -> Answer:
        found = daemon.network.askings.see(space, ask.asked, ask.browser)
        request = found.request
        signed = _signed(daemon, shown, space)
        met = signed is not None and _is_met(found, signed)
        choices = choices_of(daemon.means, found, signed.actor.name) if signed is not None and met else None
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


async def answer(daemon: Daemon, connection: Connection, ask: wire.AnswerInPage) -> Answer:
    """The request, answered."""
    shown, space = require_page(connection), connection.namespace
    askings = daemon.network.askings
    found = await daemon.read(partial(askings.see, space, ask.asked, ask.browser))
    signed = await daemon.read(partial(_signed, daemon, shown, space))
    require_form(ask.form, ask.browser, "" if signed is None else signed.session)  # 2
    require_open(found, daemon.means.clock.now())
    if ask.answer == "unmet":
        nobody = Actor(name="nobody", proof="nobody signed in as it was asked for")
        await daemon.first(partial(askings.deny_here, found, nobody, unmet=True))  # 4
        return Done()
    if signed is None:
        raise NotSignedInError("nobody is signed in with this browser")
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

        def let_act() -> Asked:
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

    def consent() -> Asked:
        now = _again(daemon, shown, signed)
        return askings.consent_here(
            found, now.actor, acr=now.acr, authenticated=now.authenticated, task=ask.task, order=order
        )

    await daemon.first(consent)
    return Done()


def _signed(daemon: Daemon, shown: Shown, namespace: str) -> SignedIn | None:
    """Who is signed in with the browser in this namespace; None for nobody."""
    try:
        found = daemon.sign_ins.person(shown)
    except NotSignedInError:
        return None
    return found if found.namespace == namespace else None


def _again(daemon: Daemon, shown: Shown, before: SignedIn) -> SignedIn:
    """The same sign-in, right before it takes effect (rule 1).

    Raises:
        NotSignedInError: It has ended meanwhile, or is another one.
    """
    found = daemon.sign_ins.person(shown)
    if (found.session, found.actor.name) != (before.session, before.actor.name):
        raise NotSignedInError("somebody else is signed in with this browser by now")
    return found


def _is_met(found: Asked, signed: SignedIn) -> bool:
    """Whether somebody is signed in as the client wants."""
    try:
        require_demands(found, signed.acr, signed.authenticated)
    except SignInDemandedError:
        return False
    return True


def _sign_in(found: Asked) -> str:
    """Where the page sends people to sign in as the client wants, and from there back to it."""
    request = found.request
    wanted = {"return": f"/oauth/authorize/{found.id}", "namespace": found.namespace}
    if request.max_age is not None:
        wanted["max_age"] = str(request.max_age)
    if request.acr:
        wanted["acr"] = request.acr[0]
    return f"/sign-in?{urlencode(wanted)}"
