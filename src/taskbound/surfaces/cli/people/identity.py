"""`taskbound person` and `taskbound agent`: persons, agents, and who answers for them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Final

from taskbound.core.identity import MonitorCodeError
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.cli.reading import read_scope
from taskbound.surfaces.cli.screen import Table, Words, moment, shown
from taskbound.surfaces.cli.session import DeclinedError, Session, argument, command, group, option
from taskbound.wire import identity as wire
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.surfaces.cli.screen import Screen


people = group("person", "People, known by their local accounts: owners and approvers of agents.")
agents = group("agent", "Agents, with those who answer for them. None is active without all of them.")

_TRIES: Final = 3

NameArgument = Annotated[str, argument("AGENT", "The agent's name.")]


@command(people, "add", examples="taskbound person add alice\ntaskbound person add bob --uid 1001")
def add_person(
    session: Session,
    name: Annotated[str, argument("", "Their name: a-z, 0-9 and `-`.")],
    uid: Annotated[int | None, option("--uid", "Their account; else your own.", min=0)] = None,
) -> None:
    """Register a person by local account; weak proof, as any program of the account can claim it."""
    session.act(
        wire.RegisterPerson(name=name, uid=os.getuid() if uid is None else uid), f"{shown(name)} is known"
    )


_PEOPLE: Final = Table[wire.PersonRow](
    ("NAME", "ACCOUNT", "STATE", "PROVEN BY", "MAY GRANT", "GROUPS", "LINKED TO"),
    lambda one: (
        one.name,
        one.uid,
        one.state,
        one.proof,
        one.grantable,
        ", ".join(one.groups) or "-",
        ", ".join(one.linked) or "-",
    ),
    "no persons; start with `taskbound init` or `taskbound person add`",
)


@command(people, "list", examples="taskbound person list --json")
def list_people(session: Session) -> None:
    """List the persons."""
    _PEOPLE.print(session.screen, session.show(wire.ListPersons(), wire.PersonRows).rows)


@command(
    agents,
    "register",
    examples="taskbound agent register helper --owner alice --approver alice"
    " --monitor file:/home/alice/helper.log --ceiling ceiling.yaml",
)
def register(
    session: Session,
    name: NameArgument,
    owner: Annotated[str, option("--owner", "The person who answers for it.")],
    approver: Annotated[list[str], option("--approver", "A person who may approve. Repeatable.")],
    monitor: Annotated[str, option("--monitor", "Where news of it goes: file:/PATH or exec:/PROGRAM.")],
    ceiling: Annotated[
        str, option("--ceiling FILE", "A scope that it can never pass, YAML or JSON; `-` reads it.")
    ],
) -> None:
    """Register an agent; it stays inactive until the code sent to its monitor is returned."""
    answer = session.ask(
        wire.RegisterAgent(
            name=name, owner=owner, approvers=tuple(approver), monitor=monitor, ceiling=read_scope(ceiling)[1]
        ),
        Done,
    )
    session.done(answer, f"{shown(name)} is registered, and inactive")
    if answer.detail:
        session.screen.hint(
            f"it has no key yet: {shown(answer.detail)}; `taskbound agent key renew` makes one", "yellow"
        )
    session.screen.hint(f"next: `taskbound agent activate {shown(name)}`")


@command(agents, "ceiling", asks=True, examples="taskbound agent ceiling helper narrower.yaml")
def ceiling(
    session: Session,
    name: NameArgument,
    scope: Annotated[str, argument("FILE", "A scope that it can never pass; `-` reads it.")],
) -> None:
    """Replace an agent's ceiling; only its owner may.

    Its tasks go on, and each of their actions is judged by the new ceiling from now on.
    """
    raw = read_scope(scope)[1]
    session.confirm(f"Change the ceiling of {shown(name)}?")
    session.act(wire.SetCeiling(name=name, ceiling=raw), f"{shown(name)} has a new ceiling")


@command(agents, "show", examples="taskbound agent show helper")
def show(session: Session, name: NameArgument) -> None:
    """Show one agent, and what it lacks to be active."""
    found = session.show(wire.ShowAgent(name=name), wire.AgentDetail)
    show_agent(session.screen, found)


_AGENTS: Final = Table[wire.AgentDetail](
    ("AGENT", "STATE", "RISK", "OWNER", "TASKS", "LACKS"),
    lambda one: (one.name, one.state, one.risk, one.owner, len(one.running), Words("; ".join(one.lacks))),
    "no agents; start with `taskbound init` or `taskbound agent register`",
)


@command(agents, "list", examples="taskbound agent list")
def list_agents(session: Session) -> None:
    """List the agents."""
    _AGENTS.print(session.screen, session.show(wire.ListAgents(), wire.AgentRows).rows)


@command(
    agents,
    "activate",
    examples="taskbound agent activate helper\ntaskbound agent activate helper --code 7K3M-Q9XA",
)
def activate(
    session: Session,
    name: NameArgument,
    code: Annotated[str, option("--code", "The code that its monitor received.")] = "",
) -> None:
    """Send a code to the agent's monitor, take it back, and activate the agent.

    Without `--code` a new code is sent. In a terminal you can type it at once; otherwise run this again with
    `--code`.
    """
    agent = session.ask(wire.ShowAgent(name=name), wire.AgentDetail)
    if not code and not agent.acknowledged:
        done = deliver_code(session, agent)
        if not session.screen.interactive or session.screen.json:
            session.done(done, f"a code went to {shown(agent.monitor)}: come back with `--code`")
            return
        agent = take_code(
            session, agent, "The code that the monitor received:", f"taskbound agent activate {shown(name)}"
        )
    else:
        agent = activate_agent(session, name, code)
    session.screen.report(agent)
    show_agent(session.screen, agent)


@command(agents, "suspend", asks=True, examples="taskbound agent suspend helper --reason 'left the team'")
def suspend(
    session: Session,
    name: NameArgument,
    reason: Annotated[str, option("--reason", "Why; it is recorded.")] = "",
) -> None:
    """Suspend an agent: all its tasks are revoked, and none can start until it is activated again."""
    session.confirm(f"Suspend {shown(name)} and revoke all its tasks?")
    session.act(wire.SuspendAgent(name=name, reason=reason), f"{shown(name)} is suspended")


@command(agents, "risk", examples="taskbound agent risk helper high --reason 'its laptop is lost'")
def risk(
    session: Session,
    name: NameArgument,
    level: Annotated[str, argument("LEVEL", "`low`, `medium` or `high`.")],
    *,
    reason: Annotated[str, option("--reason", "Why; it is recorded.")],
) -> None:
    """Set the risk level of an agent; policies read it for each call from now on.

    Its owner or any approver may raise it. Only an approver may lower it, and not the one who set the current
    level while there is another approver.
    """
    ask = wire.SetRisk(name=name, level=level, reason=reason)
    session.act(ask, f"the risk of {shown(name)} is {shown(level)}")


def deliver_code(session: Session, agent: wire.AgentDetail) -> Done:
    done = session.ask(wire.TestMonitor(name=agent.name), Done, patience=15.0)
    session.screen.line("A code is on its way to the monitor:")
    session.screen.word(agent.monitor)
    return done


def activate_agent(session: Session, name: str, code: str) -> wire.AgentDetail:
    """Return the active agent after giving its monitor's code back, if there is one."""
    if code:
        session.ask(wire.AcknowledgeMonitor(name=name, code=code.strip()), Done)
    session.ask(wire.ActivateAgent(name=name), Done)
    return session.ask(wire.ShowAgent(name=name), wire.AgentDetail)


def take_code(session: Session, agent: wire.AgentDetail, question: str, again: str) -> wire.AgentDetail:
    """Prompt for the monitor's code; a wrong code is used up. `again` is the command to try later."""
    remedy = f"come back with `{again}`: what is set up stays, and a fresh code is sent"
    for left in reversed(range(_TRIES)):
        try:
            code = session.prompt(question).strip()
        except DeclinedError as error:
            raise DeclinedError(
                f"no code was given, so {shown(agent.name)} is not active", remedy=remedy
            ) from error
        if not code:
            session.screen.note("type the code that stands in the newest news of the monitor")
            continue
        try:
            return activate_agent(session, agent.name, code)
        except RefusedByDaemonError as error:
            if error.fault.code != MonitorCodeError.code:
                raise
            if left:
                session.screen.note("that is not the code, and it is used up: here is another")
                deliver_code(session, agent)
    raise MonitorCodeError(f"no right code was given, so {shown(agent.name)} is not active", remedy=remedy)


def show_agent(screen: Screen, agent: wire.AgentDetail) -> None:
    screen.heading(shown(agent.name))
    screen.fields(
        [
            ("state", agent.state),
            ("risk", f"{agent.risk}, said by {shown(agent.risk_by)}" if agent.risk_by else agent.risk),
            ("lacks", tuple(map(Words, agent.lacks))),
            ("owner", agent.owner),
            ("approvers", agent.approvers),
            ("monitor", agent.monitor),
            ("acknowledged", moment(agent.acknowledged)),
            ("can never pass", tuple(map(Words, agent.ceiling_words))),
            ("running tasks", agent.running),
        ]
    )
