"""`taskbound tool`: the tools of pinned servers, and changes since they were pinned."""

from __future__ import annotations

from typing import Annotated, Literal

from taskbound.core.approval import parse_probes
from taskbound.core.approval.probe import parse_checks
from taskbound.core.tool import parse_definition
from taskbound.core.tool.file import parse_roles, role_text
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.surfaces.cli.server.tool_file import add_file_commands
from taskbound.surfaces.cli.session import Session, argument, command, group, option
from taskbound.wire import tool as wire

_DOES = {"read": "read and do no more", "write": "write", "destructive": "destroy"}


app = group("tool", "The tools of the pinned servers, and what changed since a person pinned them.")

ToolArgument = Annotated[str, argument("TOOL", "As server__tool.")]
IdempotentOption = Annotated[
    bool | None,
    option(
        "--idempotent/--not-idempotent",
        "Whether a repeated call has no further effect: then an unknown outcome needs no approval.",
        show_default=False,
    ),
]
ProbesOption = Annotated[
    list[str] | None,
    option(
        "--probe ARGUMENT=KIND:WHERE",
        "An argument that names what can change: `file:/FOLDER`, `revision:/REPOSITORY`,"
        " `revision:ARGUMENT:/FOLDER`, `row:sqlite:/FILE?table=T&key=K&version=V`,"
        " `row:postgresql:SERVICE?schema=S&table=T&key=K&version=V`, `etag:https://HOST/PATH/` or"
        " `answer:SERVER__TOOL#ARGUMENT`. These stand for all that was declared before.",
    ),
]
ChecksOption = Annotated[
    list[str] | None,
    option(
        "--check SECONDS:ARGUMENT=row:PLACE",
        "A row whose key an argument holds is the effect of a call: if it is missing so many seconds after"
        " a call was lost, an unknown outcome needs no approval. These replace all that was declared before.",
    ),
]
OwnerOption = Annotated[
    str, option("--owner PERSON", "Who answers for it: without one, what acts is refused.")
]
OutcomeOption = Annotated[
    Literal["watched", "unwatched"] | None,
    option(
        "--outcome",
        "Whether outcomes of its calls are reported. Only AuthZEN requests calls of an unwatched tool.",
        show_default=False,
    ),
]
EffectOption = Annotated[
    Literal["read", "write", "destructive"] | None,
    option("--effect", "What a call may do to the world, whatever its server says.", show_default=False),
]
RolesOption = Annotated[
    list[str] | None,
    option(
        "--role ARGUMENT=ROLE",
        "What an argument is for: path, url, program, recipient, amount, name, content, query or option."
        " These stand for all that was declared before.",
    ),
]


@command(app, "list", examples="taskbound tool list\ntaskbound tool list --server git")
def list_tools(
    session: Session,
    server: Annotated[str, option("--server", "Only those of this server.")] = "",
) -> None:
    """List the pinned tools and their effects, as declared by the server or a person."""
    found = session.show(wire.ListTools(server=server), wire.ToolRows)
    session.screen.table(
        ("TOOL", "EFFECT", "STATE", "OWNER", "APPROVERS", "DESCRIPTION"),
        [
            (
                one.name,
                _effect(one),
                one.state,
                one.owner or "(none)",
                _approvers(one),
                _description(bytes(one.raw)),
            )
            for one in found.rows
        ],
        "no tools are pinned; add a server with `taskbound upstream add` or `taskbound init`",
    )


@command(app, "diff", examples="taskbound tool diff git__git_log")
def diff(session: Session, name: ToolArgument) -> None:
    """Show how the definition that was last seen differs from the pinned one."""
    _show(session, session.show(wire.DiffTool(name=name), wire.ToolDiff))


@command(app, "accept", asks=True, examples="taskbound tool accept git__git_log")
def accept(
    session: Session,
    name: ToolArgument,
    definition: Annotated[str, option("--definition DIGEST", "Accept only this one.")] = "",
) -> None:
    """Pin the definition that was last seen, after showing the differences.

    Only a person may: it is refused from inside a gateway or a `taskbound run`.
    """
    found = session.ask(wire.DiffTool(name=name), wire.ToolDiff)
    if not found.seen:
        raise BadInputError(
            f"nothing else was seen of `{shown(name)}` that could be accepted",
            remedy="a server is looked at with `taskbound upstream test`; one whose program is another now is"
            " removed with `taskbound upstream remove`, and added again",
        )
    digest = parse_definition(found.seen.encode()).digest  # of what is shown, not the daemon's
    if definition not in {"", digest}:
        raise BadInputError(
            f"the definition last seen is `{digest}`", remedy="look at it with `taskbound tool diff`"
        )
    _show(session, found)
    session.confirm(f"Pin this definition of {shown(name)}?")
    session.act(wire.AcceptTool(name=name, definition=digest), f"{shown(name)} is pinned as {digest}")


@command(
    app,
    "declare",
    asks=True,
    examples="taskbound tool declare git__git_add --idempotent\n"
    "taskbound tool declare git__git_show --probe revision=revision:repo_path:/srv/repositories\n"
    "taskbound tool declare bank__pay --probe bill=file:/srv/bills\n"
    "taskbound tool declare git__git_status --effect read --role repo_path=path\n"
    "taskbound tool declare bank__settle --probe 'invoice=row:sqlite:/srv/ledger.db?table=invoices&key=id'\n"
    "taskbound tool declare bank__pay --probe invoice=answer:bank__get_invoice#id\n"
    "taskbound tool declare bank__pay --check '60:bill=row:sqlite:/srv/ledger.db?table=payments&key=bill'\n"
    "taskbound tool declare git__git_push --approver bob --approver carl\n"
    "taskbound tool declare git__git_push --no-approvers\n"
    "taskbound tool declare git__git_push --owner bob",
)
def declare(
    session: Session,
    name: ToolArgument,
    *,
    idempotent: IdempotentOption = None,
    probes: ProbesOption = None,
    none: Annotated[bool, option("--no-probes", "No argument names what can change any more.")] = False,
    checks: ChecksOption = None,
    effect: EffectOption = None,
    roles: RolesOption = None,
    outcome: OutcomeOption = None,
    no_checks: Annotated[
        bool, option("--no-checks", "Nothing shows any more whether a call had its effect.")
    ] = False,
    approver: Annotated[list[str], option("--approver PERSON", "Who approves for it; may be repeated.")] = [],  # noqa: B006 - typer copies it
    no_approvers: Annotated[
        bool, option("--no-approvers", "Leave it to those who approve for the agent.")
    ] = False,
    owner: OwnerOption = "",
) -> None:
    """Declare a tool's effect on repetition, what its arguments name, its approvers or its owner.

    What an argument names is looked up when a call is held, is part of what approvers sign, and is looked up
    again before the call runs. These declarations belong to the pinned definition and end with it. Approvers
    belong to the tool's name and are set by the owner of the data directory. The owner is set by the present
    owner, or by the owner of the data directory if that person has left.
    Only a person may: it is refused from inside a gateway or a `taskbound run`.
    """
    wanted = _wanted(probes, none=none)
    showing = _showing(checks, none=no_checks)
    purposes = None if roles is None else tuple(role_text(*one) for one in parse_roles(roles).items())
    said_of_it = any(one is not None for one in (idempotent, wanted, showing, effect, purposes, outcome))
    if [said_of_it, bool(approver), no_approvers, bool(owner)].count(True) > 1:
        raise BadInputError(
            "approvers and an owner are declared by themselves", remedy="give only `--approver`, or `--owner`"
        )
    digest = _pinned(session, name)
    if approver or no_approvers:
        _set_approvers(session, name, None if no_approvers else tuple(approver))
        return
    if owner:
        _set_owner(session, name, owner)
        return
    said = wire.DeclareTool(
        name=name,
        definition=digest,
        idempotent=idempotent,
        probes=wanted,
        checks=showing,
        effect=effect,
        roles=purposes,
        outcome=outcome,
    )
    words = _words(said)
    session.confirm(f"Declare {shown(name)} {words}?")
    session.act(said, f"{shown(name)} is declared {words}")


add_file_commands(app)


def _pinned(session: Session, name: str) -> str:
    rows = session.ask(wire.ListTools(), wire.ToolRows).rows
    row = next((one for one in rows if one.name == name), None)
    if row is None:
        raise BadInputError(
            f"no tool `{shown(name)}` is pinned", remedy="list them with `taskbound tool list`"
        )
    raw = bytes(row.raw)
    digest = parse_definition(raw).digest  # of what is shown, not the daemon's
    session.screen.heading(shown(name))
    session.screen.fields([("pinned", Words(raw.decode())), ("definition", digest)])
    return digest


def _wanted(probes: list[str] | None, *, none: bool) -> tuple[str, ...] | None:
    if none and probes:
        raise BadInputError("`--probe` and `--no-probes` say two things")
    if none:
        return ()
    return tuple(one.text for one in parse_probes(probes)) if probes else None


def _showing(checks: list[str] | None, *, none: bool) -> tuple[str, ...] | None:
    if none and checks:
        raise BadInputError("`--check` and `--no-checks` say two things")
    if none:
        return ()
    return tuple(one.text for one in parse_checks(checks)) if checks else None


def _words(said: wire.DeclareTool) -> str:
    words: list[str] = []
    if said.idempotent is not None:
        words.append("idempotent" if said.idempotent else "not idempotent")
    if said.probes is not None:
        words.append(f"looked at by {' '.join(map(shown, said.probes))}" if said.probes else "not looked at")
    if said.checks is not None:
        shows = f"shown by {' '.join(map(shown, said.checks))}" if said.checks else "shown by nothing"
        words.append(f"to have effects that are {shows}")
    if said.effect is not None:
        words.append(f"to {_DOES[said.effect]}")
    if said.roles is not None:
        words.append(f"to take {' '.join(map(shown, said.roles))}")
    if said.outcome is not None:
        words.append(f"to be {said.outcome}")
    if not words:
        raise BadInputError("nothing is declared", remedy="see `taskbound tool declare --help`")
    return ", ".join(words)


def _set_approvers(session: Session, name: str, approvers: tuple[str, ...] | None) -> None:
    who = "those who approve for the agent" if approvers is None else ", ".join(map(shown, approvers))
    session.confirm(f"Have {who} approve for {shown(name)}?")
    session.act(wire.AnswerForTool(name=name, approvers=approvers), f"{who} approve for {shown(name)}")


def _set_owner(session: Session, name: str, owner: str) -> None:
    session.confirm(f"Have {shown(owner)} answer for {shown(name)}?")
    session.act(wire.OwnTool(name=name, owner=owner), f"{shown(owner)} answers for {shown(name)}")


def _show(session: Session, found: wire.ToolDiff) -> None:
    session.screen.heading(shown(found.name))
    session.screen.fields(
        [
            ("state", found.state),
            ("differs", tuple(map(Words, found.differences))),
            # Canonical JSON: a backslash is an escape of its own already.
            ("pinned", Words(found.pinned)),
            ("seen", Words(found.seen or "-")),
        ]
    )


def _effect(row: wire.ToolRow) -> str:
    notes = ["idempotent"] if row.idempotent else []
    notes += ["unwatched"] if row.unwatched else []
    notes += [f"looks at {one.argument}" for one in parse_probes(row.probes)]
    notes += [f"checked by {one.probe.argument}" for one in parse_checks(row.checks)]
    if row.effect != (own := parse_definition(bytes(row.raw)).effect.value):
        notes.append(f"its server says {own}")
    return f"{row.effect} ({', '.join(notes)})" if notes else row.effect


def _approvers(row: wire.ToolRow) -> str:
    return "" if row.approvers is None else ", ".join(row.approvers) or "(none)"


def _description(raw: bytes) -> str:
    value = parse_definition(raw).value.get("description")
    return value if isinstance(value, str) else ""
