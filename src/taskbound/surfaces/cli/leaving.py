"""`taskbound person gone|back|link|part` and `taskbound agent people`: persons who leave, and who answers."""

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
    """Record that a person has left: withdraw their keys, and stop what depends on them at once.

    Agents that they own, or whose only approver they are, are suspended; running tasks of those agents, and
    tasks that they requested, are paused. The agents' monitors are notified.
    """
    session.confirm(f"Has {shown(name)} left? Their keys are withdrawn for good.")
    done = session.ask(LeavePerson(name=name, reason=reason), Done, patience=15.0)
    session.done(done, f"{shown(name)} has left")


@command(people, "back", examples="taskbound person back bob")
def back(session: Session, name: PersonArgument) -> None:
    """Record that a person is back, without keys and groups; only the owner of the data directory may."""
    session.done(session.ask(ReturnPerson(name=name), Done), f"{shown(name)} is back")


@command(people, "link", examples="taskbound person link bob bob-admin")
def link(session: Session, name: PersonArgument, other: OtherArgument) -> None:
    """Link two persons as one human, who counts once; only the owner of the data directory may."""
    done = session.ask(LinkPersons(one=name, other=other, linked=True), Done)
    session.done(done, f"{shown(name)} and {shown(other)} are one human")


@command(people, "part", examples="taskbound person part bob robert")
def part(session: Session, name: PersonArgument, other: OtherArgument) -> None:
    """Undo the link between two persons; only the owner of the data directory may."""
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
    """Set an agent's owner and approvers; its owner may, or the data directory's owner if that one left."""
    done = session.ask(SetAnswering(name=name, owner=owner, approvers=tuple(approver)), Done)
    session.done(done, f"{shown(owner)} answers for {shown(name)}")
