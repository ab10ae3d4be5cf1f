"""`taskbound person show`, `grantable` and `taskbound person group`: who may grant what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from taskbound.surfaces.cli.people.identity import people
from taskbound.surfaces.cli.reading import BadInputError, read_scope
from taskbound.surfaces.cli.screen import Table, Words, shown
from taskbound.surfaces.cli.session import Session, argument, command, group, option
from taskbound.wire import identity as wire

if TYPE_CHECKING:
    from taskbound.surfaces.cli.screen import Screen


groups = group("group", "Groups of people who may grant the same, said once.")
people.add_typer(groups)

PersonArgument = Annotated[str, argument("PERSON", "The person's name.")]
GroupArgument = Annotated[str, argument("GROUP", "The group's name.")]
ScopeOption = Annotated[str, option("--scope FILE", "A scope that a task must be within; `-` reads it.")]
CeilingOption = Annotated[bool, option("--ceiling", "Anything that the ceiling of the agent permits.")]
NothingOption = Annotated[bool, option("--nothing", "Nothing.")]


@command(people, "show", examples="taskbound person show alice")
def show(session: Session, name: PersonArgument) -> None:
    """Show one person, and all that they may grant, directly and through groups."""
    found = session.show(wire.ShowPerson(name=name), wire.PersonDetail)
    row = found.row
    session.screen.heading(shown(row.name))
    session.screen.fields(
        [
            ("state", row.state),
            ("account", row.uid),
            ("proven by", row.proof),
            ("groups", row.groups),
            ("linked to", row.linked),
            ("may grant", tuple(map(Words, found.may_words))),
        ]
    )


@command(
    people,
    "grantable",
    examples="taskbound person grantable bob --scope bills.yaml\ntaskbound person grantable carol --nothing",
)
def grantable(
    session: Session,
    name: PersonArgument,
    *,
    scope: ScopeOption = "",
    ceiling: CeilingOption = False,
    nothing: NothingOption = False,
) -> None:
    """Set what a person may grant; tasks that they started go on.

    You may only give what you may grant yourself, unless you own the data directory.
    """
    word, raw = _said(scope, ceiling=ceiling, nothing=nothing)
    ask = wire.SetPersonGrantable(name=name, word=word, scope=raw)
    session.act(ask, f"{shown(name)} may grant {word or 'what the scope says'}")


@command(groups, "add", examples="taskbound person group add payers")
def add_group(session: Session, name: GroupArgument) -> None:
    """Create an empty group that may grant nothing; only the owner of the data directory may."""
    session.act(wire.AddGroup(name=name), f"group {shown(name)} is there")


_GROUPS: Final = Table[wire.GroupDetail](
    ("GROUP", "MAY GRANT", "MEMBERS"),
    lambda one: (one.name, one.grantable, ", ".join(one.members) or "-"),
    "no groups; make one with `taskbound person group add`",
)


@command(groups, "list", examples="taskbound person group list")
def list_groups(session: Session) -> None:
    """List the groups."""
    _GROUPS.print(session.screen, session.show(wire.ListGroups(), wire.GroupRows).rows)


@command(groups, "show", examples="taskbound person group show payers")
def show_group(session: Session, name: GroupArgument) -> None:
    """Show one group, and what its members may grant."""
    found = session.show(wire.ShowGroup(name=name), wire.GroupDetail)
    _show(session.screen, found)


@command(groups, "join", examples="taskbound person group join payers bob")
def join(session: Session, name: GroupArgument, person: PersonArgument) -> None:
    """Add a person to a group, so that they may grant what it may; for the owner of the data directory."""
    ask = wire.SetMember(group=name, person=person, member=True)
    session.act(ask, f"{shown(person)} is in group {shown(name)}")


@command(groups, "leave", examples="taskbound person group leave payers bob")
def leave(session: Session, name: GroupArgument, person: PersonArgument) -> None:
    """Remove a person from a group; tasks that they could no longer request are paused.

    A person may leave; removing others is for the owner of the data directory.
    """
    ask = wire.SetMember(group=name, person=person, member=False)
    session.act(ask, f"{shown(person)} is not in group {shown(name)}")


@command(groups, "grantable", examples="taskbound person group grantable payers --scope invoices.yaml")
def group_grantable(
    session: Session,
    name: GroupArgument,
    *,
    scope: ScopeOption = "",
    ceiling: CeilingOption = False,
    nothing: NothingOption = False,
) -> None:
    """Set what the members of a group may grant; tasks that they started go on."""
    word, raw = _said(scope, ceiling=ceiling, nothing=nothing)
    ask = wire.SetGroupGrantable(name=name, word=word, scope=raw)
    session.act(ask, f"members of {shown(name)} may grant {word or 'what the scope says'}")


def _said(scope: str, *, ceiling: bool, nothing: bool) -> tuple[str, msgspec.Raw | msgspec.UnsetType]:
    if bool(scope) + ceiling + nothing != 1:
        raise BadInputError("say one of `--scope FILE`, `--ceiling` and `--nothing`")
    if scope:
        return "", read_scope(scope)[1]
    return ("ceiling" if ceiling else "nothing"), msgspec.UNSET


def _show(screen: Screen, found: wire.GroupDetail) -> None:
    screen.heading(shown(found.name))
    screen.fields([("members", found.members), ("may grant", tuple(map(Words, found.words)))])
