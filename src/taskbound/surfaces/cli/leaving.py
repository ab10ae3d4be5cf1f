"""`taskbound person gone|back|link|part` and `taskbound agent people`: who is here, and who answers."""

from __future__ import annotations

from typing import Annotated

import typer

from taskbound.surfaces.cli.grantable import PersonArgument
from taskbound.surfaces.cli.identity import NameArgument, agents, people
from taskbound.surfaces.cli.screen import shown
from taskbound.surfaces.cli.session import Session, command
from taskbound.wire.connection import Done
from taskbound.wire.identity import LeavePerson, LinkPersons, ReturnPerson, SetAnswering

OtherArgument = Annotated[
    str, typer.Argument(metavar="OTHER", help="The other person's name.", show_default=False)
]


@command(people, "gone", asks=True, examples="taskbound person gone bob --reason 'left the company'")
def gone(
    session: Session,
    name: PersonArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "",
) -> None:
    """A person has left: their keys are withdrawn, and what depends on them stops at once.

    Agents that they own, or that have no other approver, are suspended; running tasks of those, and those
    that they asked for, are paused. Those who watch over the agents are told.
    """
    session.confirm(f"Has {shown(name)} left? Their keys are withdrawn for good.")
    done = session.ask(LeavePerson(name=name, reason=reason), Done, patience=15.0)
    session.done(done, f"{shown(name)} has left")


@command(people, "back", examples="taskbound person back bob")
def back(session: Session, name: PersonArgument) -> None:
    """Somebody who had left is back, without keys and groups: an act of the data directory's owner."""
    session.done(session.ask(ReturnPerson(name=name), Done), f"{shown(name)} is back")


@command(people, "link", examples="taskbound person link bob bob-admin")
def link(session: Session, name: PersonArgument, other: OtherArgument) -> None:
    """Say that two persons are one human, who counts once: an act of the data directory's owner."""
    done = session.ask(LinkPersons(one=name, other=other, linked=True), Done)
    session.done(done, f"{shown(name)} and {shown(other)} are one human")


@command(people, "part", examples="taskbound person part bob robert")
def part(session: Session, name: PersonArgument, other: OtherArgument) -> None:
    """Say that the first is not the same human as the other: an act of the data directory's owner."""
    done = session.ask(LinkPersons(one=name, other=other, linked=False), Done)
    session.done(done, f"{shown(name)} and {shown(other)} are two humans")


@command(agents, "people", examples="taskbound agent people helper --owner bob --approver carol")
def answering(
    session: Session,
    name: NameArgument,
    *,
    owner: Annotated[str, typer.Option("--owner", help="The person who answers for it.")],
    approver: Annotated[list[str], typer.Option("--approver", help="A person who may approve. Repeatable.")],
) -> None:
    """Say who answers for an agent: its owner's act, or the data directory's owner's where that one left."""
    done = session.ask(SetAnswering(name=name, owner=owner, approvers=tuple(approver)), Done)
    session.done(done, f"{shown(owner)} answers for {shown(name)}")
