"""`taskbound token`: tokens, signing keys, OAuth clients and admissions. No command prints a token."""

from __future__ import annotations

from typing import Annotated, Final

from taskbound.core.token.values import LONGEST
from taskbound.surfaces.cli.naming import whole_task
from taskbound.surfaces.cli.reading import BadInputError, parse_seconds, spell_seconds
from taskbound.surfaces.cli.screen import Table, moment, shown
from taskbound.surfaces.cli.session import Session, argument, command, group, option
from taskbound.wire import authorization as wire
from taskbound.wire import token as token_wire

app = group("token", "Tokens, and the clients that people get them for.")
clients = group("client", "Programs that are sent codes in a person's browser.")
app.add_typer(clients)
admissions = group("admission", "The admissions of clients: one task each, until it is ended.")
app.add_typer(admissions)

NameArgument = Annotated[str, argument("", "What it sends as `client_id`, such as desk.")]


@command(
    clients,
    "add",
    examples="taskbound token client add desk --redirect http://127.0.0.1/callback --shown 'The desk client'",
)
def add(
    session: Session,
    name: NameArgument,
    redirect: Annotated[
        list[str],
        option(
            "--redirect URI",
            "Where codes are sent, letter by letter; at 127.0.0.1 and [::1] any port is. Repeatable.",
        ),
    ],
    called: Annotated[
        str, option("--shown", "What it is called where people consent; its name if not given.")
    ] = "",
) -> None:
    """Register a client that has no metadata document; only the owner of the data directory may."""
    added = session.show(wire.AddClient(client=name, redirects=tuple(redirect), shown=called), wire.ClientRow)
    session.screen.line(f"client {shown(added.client)} added")


_ROWS: Final = Table[wire.ClientRow](
    ("CLIENT", "SHOWN AS", "REDIRECTS", "BY"),
    lambda one: (one.client, one.shown, ", ".join(one.redirects), one.by),
    "no clients; add one with `taskbound token client add`",
)


@command(clients, "list", examples="taskbound token client list")
def list_all(session: Session) -> None:
    """List the registered clients."""
    _ROWS.print(session.screen, session.show(wire.ListClients(), wire.ClientRows).rows)


@command(clients, "show", examples="taskbound token client show desk")
def show(session: Session, name: NameArgument) -> None:
    """Show a client's redirect addresses, and who registered it."""
    found = session.show(wire.ShowClient(client=name), wire.ClientRow)
    session.screen.heading(shown(found.client))
    session.screen.fields(
        [
            ("  shown as", found.shown),
            ("  redirects", tuple(found.redirects)),
            ("  added", f"{moment(found.added)} by {shown(found.by)}"),
        ]
    )


@command(clients, "remove", asks=True, examples="taskbound token client remove desk --yes")
def remove(session: Session, name: NameArgument) -> None:
    """Remove a client, so that it is sent no codes; only the owner of the data directory may."""
    session.confirm(f"Remove the client {shown(name)}? It is sent nothing more.")
    session.act(wire.RemoveClient(client=name), f"client {shown(name)} removed")


_ADMISSIONS: Final = Table[wire.AdmissionRow](
    ("ADMISSION", "CLIENT", "STATE", "AGENT", "TASK", "BY", "UNTIL"),
    lambda one: (one.admission, one.client, one.state, one.agent, one.task, one.person, moment(one.until)),
    "no clients were let in",
)


@command(admissions, "list", examples="taskbound token admission list --client desk")
def list_admissions(
    session: Session,
    client: Annotated[str, option("--client", "Only of this client.")] = "",
    task: Annotated[str, option("--task", "Only to this task.")] = "",
    limit: Annotated[int, option("--limit", "How many at most.", min=1, max=200)] = 50,
    before: Annotated[str, option("--before", "The last admission of the page before.")] = "",
) -> None:
    """List the admissions of clients, newest first."""
    ask = wire.ListAdmissions(client=client, task=task, limit=limit, before=before)
    found = session.show(ask, wire.AdmissionRows)
    _ADMISSIONS.print(session.screen, found.rows)
    if found.more:
        session.screen.hint(f"there are more: --before {shown(found.rows[-1].admission)}")


@command(
    admissions, "end", asks=True, examples="taskbound token admission end adm_… --why 'laptop lost' --yes"
)
def end_admission(
    session: Session,
    admission: Annotated[str, argument("ADMISSION", "Its name, adm_….")],
    why: Annotated[str, option("--why", "Why, in words; it stands in the log.")] = "",
) -> None:
    """End an admission that you gave, or one for a task or an agent of yours."""
    session.confirm(f"End {shown(admission)}? Its tokens are worth nothing from then on.")
    session.act(wire.EndAdmission(admission=admission, why=why), f"admission {shown(admission)} ended")


keys = group("key", "The keys that sign tokens: one signs, one is next, one still verifies.")
app.add_typer(keys)

TokenArgument = Annotated[str, argument("TOKEN", "The name of the token, tok_….")]
KeyArgument = Annotated[str, argument("KEY", "The `kid` of the key.")]
WhyOption = Annotated[str, option("--why", "Why, in words; it stands in the log.")]


_TOKENS: Final = Table[token_wire.TokenRow](
    ("TOKEN", "FORM", "STATE", "WHO", "TASK", "ENDS"),
    lambda one: (one.token, one.form, one.state, one.agent or one.subject, one.task, moment(one.expires)),
    "no tokens",
)


@command(app, "list", examples="taskbound token list --task tsk_… --limit 20")
def list_tokens(
    session: Session,
    task: Annotated[str, option("--task", "Only tokens of this task.")] = "",
    agent: Annotated[str, option("--agent", "Only tokens of this agent.")] = "",
    limit: Annotated[int, option("--limit", "How many at most.", min=1, max=200)] = 50,
    before: Annotated[str, option("--before", "The last token of the page before.")] = "",
) -> None:
    """List tokens, newest first; the token itself is not stored."""
    ask = token_wire.ListTokens(task=task, agent=agent, limit=limit, before=before)
    found = session.show(ask, token_wire.TokenRows)
    _TOKENS.print(session.screen, found.rows)
    if found.more:
        session.screen.hint(f"there are more: --before {shown(found.rows[-1].token)}")


@command(app, "show", examples="taskbound token show tok_…")
def show_token(session: Session, token: TokenArgument) -> None:
    """Show a token's purpose, what it is bound to, and whether it is valid."""
    found = session.show(token_wire.ShowToken(token=token), token_wire.TokenRow)
    session.screen.heading(shown(found.token))
    session.screen.fields(
        [
            ("  form", found.form),
            ("  state", f"{found.state}: {found.why}" if found.why else found.state),
            ("  for", found.audience),
            ("  of", found.subject),
            ("  acting", tuple(found.actors)),
            ("  task", found.task),
            ("  action", found.action),
            ("  bound to", found.binding or "nothing: any bearer can use it"),
            ("  issued", moment(found.issued)),
            ("  ends", moment(found.expires)),
            ("  key", found.key),
            ("  exchanged for", found.parent),
        ]
    )


@command(app, "revoke", asks=True, examples="taskbound token revoke tok_… --why 'seen in a log' --yes")
def revoke(session: Session, token: TokenArgument, why: WhyOption = "") -> None:
    """Revoke a token of yours, of a task that you requested, or of an agent that you own."""
    session.confirm(f"Revoke the token {shown(token)}? It is worth nothing from then on.")
    session.act(token_wire.RevokeToken(token=token, why=why), f"token {shown(token)} revoked")


@command(keys, "list", examples="taskbound token key list")
def list_keys(session: Session) -> None:
    """List current and former signing keys of tokens."""
    _tell(session, session.ask(token_wire.ListTokenKeys(), token_wire.TokenKeyRows))


@command(keys, "rotate", asks=True, examples="taskbound token key rotate --yes")
def rotate(session: Session) -> None:
    """Switch to the next signing key now; only the owner of the data directory may."""
    session.confirm("Take the next key into use? Tokens of the one before stand until they end.")
    _tell(session, session.ask(token_wire.RotateTokenKeys(), token_wire.TokenKeyRows))


@command(keys, "revoke", asks=True, examples="taskbound token key revoke 3V1… --why 'stolen' --yes")
def revoke_key(session: Session, key: KeyArgument, why: WhyOption = "") -> None:
    """Revoke a signing key and all tokens that it signed; only the owner of the data directory may."""
    session.confirm(f"Revoke the key {shown(key)}? No token that it signed is worth anything from then on.")
    _tell(session, session.ask(token_wire.RevokeTokenKey(key=key, why=why), token_wire.TokenKeyRows))


def _tell(session: Session, found: token_wire.TokenKeyRows) -> None:
    session.screen.report(found)
    session.screen.table(
        ("KEY", "STATE", "PUBLISHED", "MADE", "SIGNS SINCE", "WHY"),
        [
            (
                one.key,
                one.state,
                "yes" if one.published else "no",
                moment(one.made),
                moment(one.used) if one.used is not None else "",
                one.why,
            )
            for one in found.rows
        ],
        "no key: the first token that is asked for has them made",
    )


_AS_YOU: Final = [
    ("  it may", "whatever you may do over the network API, in your name: no task bounds it"),
    ("  how long", f"{LONGEST // 60} minutes from when it fetches its token"),
]
"""What a client may do that acts as a person."""


@command(
    app,
    "consent",
    asks=True,
    examples="taskbound token consent BCDFG-HJKLM\n"
    "taskbound token consent BCDFG-HJKLM --template default --purpose 'look at the history'\n"
    "taskbound token consent BCDFG-HJKLM --deny",
)
def consent(
    session: Session,
    *,
    code: Annotated[str, argument("CODE", "The ten letters that your own browser shows.")],
    task: Annotated[str, option("--task", "Let it in to this task of yours, which runs.")] = "",
    template: Annotated[
        str, option("--template", "Let it in to a task that is started from this template.")
    ] = "",
    purpose: Annotated[str, option("--purpose", "Why that task is started.")] = "",
    length: Annotated[str, option("--for TIME", "Time until that task ends, such as 30m.")] = "",
    deny: Annotated[bool, option("--deny", "Let it have nothing.")] = False,
) -> None:
    """Answer a program that asks in your browser to act as an agent: choose the task for it.

    A program may also ask to act as you. Then there is no task: for some minutes it may do whatever you may
    do over the network API.
    """
    if deny and (task or template or purpose or length):
        raise BadInputError("who denies says nothing of a task")
    if task and (template or purpose or length):
        raise BadInputError("a task that runs is chosen, or one is started from a template, not both")
    found = session.ask(wire.LookAtAsked(typed=code), wire.AskedDetail)
    _show_asked(session, found)
    client = shown(found.shown)
    if deny:
        session.confirm(f"Let {client} have nothing?")
        _answered(
            session, session.ask(wire.DenyClient(typed=code), wire.AskedDetail), f"{client} was refused"
        )
        return
    if not found.agent:
        _let_act(session, found, code, chosen=bool(task or template or purpose or length))
        return
    if not (task or template):
        task, template = _choose(session, found)
    if template and not purpose:
        purpose = _purpose(session, found, template)
    where = f"task {shown(task)}" if task else f"a new task from template {shown(template)}"
    session.confirm(f"Let {client} act as agent {shown(found.agent)} in {where}?")
    order = wire.ConsentToClient(
        typed=code,
        client=found.client,
        agent=found.agent,
        task=whole_task(session, task) if task else "",
        template=template,
        purpose=purpose,
        seconds=parse_seconds(length) if length else 0,
    )
    done = session.ask(order, wire.AskedDetail)
    _answered(session, done, f"{client} is let in to task {shown(done.task)}; go on in your browser")


def _let_act(session: Session, found: wire.AskedDetail, code: str, *, chosen: bool) -> None:
    client = shown(found.shown)
    if chosen:
        raise BadInputError(
            "the program asks to act as you, and for no task", remedy="leave these options out, or deny"
        )
    session.confirm(f"Let {client} act as you, for {LONGEST // 60} minutes at most?")
    done = session.ask(wire.ConsentAsPerson(typed=code, client=found.client), wire.AskedDetail)
    _answered(session, done, f"{client} may act as you; go on in your browser")


def _show_asked(session: Session, found: wire.AskedDetail) -> None:
    stands_for = f"the document at {shown(found.client)}" if found.host else f"{shown(found.client)}, here"
    session.screen.heading(f"A program asks to act as {'an agent' if found.agent else 'you'}")
    asked = [("  agent", found.agent)] if found.agent else _AS_YOU
    session.screen.fields(
        [
            ("  it calls itself", f"{shown(found.shown)} (its own word)"),
            ("  known by", stands_for),
            ("  your answer goes to", found.redirect),
            *asked,
            ("  where", found.resource),
            ("  until", moment(found.until)),
        ]
    )
    session.screen.hint("answer only what you yourself just started, in a browser of your own", "yellow")


def _choose(session: Session, found: wire.AskedDetail) -> tuple[str, str]:
    running = [(one.task, "", f"task {shown(one.task)}: {shown(one.purpose)}") for one in found.tasks]
    fresh = [
        ("", one.template, f"a new task from template {shown(one.template)}, {_length(one.seconds)}")
        for one in found.templates
    ]
    choices = [*running, *fresh]
    if not choices:
        raise BadInputError(
            f"you have no task of agent `{shown(found.agent)}` that runs, and there is no template",
            remedy="start one with `taskbound task start`, and name it with `--task`",
        )
    for number, (_, _, words) in enumerate(choices, start=1):
        session.screen.line(f"  {number}  {words}")
    told = session.prompt(f"In which? 1 to {len(choices)}").strip()
    if not (told.isascii() and told.isdigit() and 0 < int(told) <= len(choices)):
        raise BadInputError(
            "none of these was chosen", remedy="type its number, or use `--task` or `--template`"
        )
    task, template, _ = choices[int(told) - 1]
    return task, template


def _purpose(session: Session, found: wire.AskedDetail, template: str) -> str:
    known = next((one.purpose for one in found.templates if one.template == template), "")
    if session.yes or session.screen.json or not session.screen.interactive:
        return known
    return session.prompt("Why?", known)


def _length(seconds: int) -> str:
    return f"for {spell_seconds(seconds)}" if seconds else "for an hour"


def _answered(session: Session, done: wire.AskedDetail, sentence: str) -> None:
    session.screen.report(done)
    session.screen.line(sentence)
