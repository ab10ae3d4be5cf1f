"""`taskbound action`: the actions that agents requested, their decisions and outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from taskbound.surfaces.cli.naming import whole_action, whole_task
from taskbound.surfaces.cli.screen import Words, moment, shown
from taskbound.surfaces.cli.session import Session, argument, command, group, option
from taskbound.wire import action as wire

if TYPE_CHECKING:
    from taskbound.surfaces.cli.screen import Screen


app = group("action", "Look at single acts: what was asked, what was decided, what came of it.")

DecisionOption = Annotated[
    str,
    option("--decision", "Only permit, hold or refuse.", autocompletion=lambda: ["permit", "hold", "refuse"]),
]
ActionArgument = Annotated[str, argument("ACTION", "The action's id, whole or as a list shortens it.")]


@command(app, "list", examples="taskbound action list --decision refuse\ntaskbound action list --task tsk_…")
def list_actions(
    session: Session,
    task: Annotated[str, option("--task", "Only those of this task.")] = "",
    decision: DecisionOption = "",
    limit: Annotated[int, option("--limit", "At most so many.", min=1, max=500)] = 50,
    before: Annotated[str, option("--before ACTION", "Go on after this one.")] = "",
) -> None:
    """List actions, newest first."""
    task = whole_task(session, task)
    page = session.show(
        wire.ListActions(task=task, decision=decision, limit=limit, before=before), wire.ActionRows
    )
    session.screen.table(
        ("ACTION", "AT", "DECISION", "STATE", "REASON", "TOOL"),
        [
            (one.action, moment(one.at), one.decision, _state(one), one.code or "-", one.tool)
            for one in page.rows
        ],
        "no actions like that" if task or decision or before else "no actions yet",
    )
    if page.more:
        session.screen.hint(f"there are more: go on with `--before {shown(page.rows[-1].action)}`")


@command(app, "show", examples="taskbound action show act_…")
def show(session: Session, action: ActionArgument) -> None:
    """Show one action: every byte that was decided, with invisible characters escaped, and its outcome."""
    found = session.show(wire.ShowAction(action=whole_action(session, action)), wire.ActionDetail)
    show_action(session.screen, found)


@command(app, "explain", examples="taskbound action explain act_…")
def explain(session: Session, action: ActionArgument) -> None:
    """Explain a decision, and replay it from its audit record."""
    explain_action(session, action)


def explain_action(session: Session, action: str) -> None:
    found = session.show(wire.ExplainAction(action=whole_action(session, action)), wire.ActionDetail)
    show_action(session.screen, found)
    session.screen.fields(
        [
            ("grants", tuple(map(Words, found.grants))),
            ("policies asked", found.asked),
            ("facts", tuple(map(Words, found.facts))),
            ("arguments read", found.arguments_read),
            ("replayed", Words(found.replay or "it could not be replayed")),
            ("would change it", tuple(map(Words, found.turns))),
            *([("could be granted", Words(found.could_grant))] if found.could_grant else []),
        ]
    )


@command(
    app, "reconcile", asks=True, examples='taskbound action reconcile act_… failed --note "not in the ledger"'
)
def reconcile(
    session: Session,
    action: ActionArgument,
    outcome: Annotated[
        str, argument("OUTCOME", "succeeded or failed.", autocompletion=lambda: ["succeeded", "failed"])
    ],
    note: Annotated[str, option("--note", "How you know; it is recorded.", show_default=False)],
) -> None:
    """Record the outcome of an action whose outcome is unknown, once you have found out.

    Repeats of the action are judged by that outcome. What the action was charged is not given back.
    Only a person may: it is refused from inside a gateway or a `taskbound run`.
    """
    found = session.ask(wire.ShowAction(action=whole_action(session, action)), wire.ActionDetail)
    name = found.row.action
    show_action(session.screen, found)
    session.confirm(f"Record that {shown(name)} {shown(outcome)}?")
    ask = wire.ReconcileAction(action=name, outcome=outcome, note=note)
    session.act(ask, f"{shown(name)} is reconciled: it {shown(outcome)}")


def _state(row: wire.ActionRow) -> str:
    return f"{row.state} (learning)" if row.learning else row.state


def show_action(screen: Screen, found: wire.ActionDetail) -> None:
    row = found.row
    screen.heading(shown(row.action))
    reasons = tuple(
        Words(f"{shown(one.code)}: {Words(one.text)}" + (f" ({Words(one.detail)})" if one.detail else ""))
        for one in found.reasons
    )
    screen.fields(
        [
            ("decision", row.decision),
            ("reasons", reasons),
            ("state", _state(row)),
            ("at", moment(row.at)),
            ("tool", row.tool),
            # Canonical JSON: a backslash is an escape of its own already.
            ("arguments", Words(found.arguments)),
            ("flags", tuple(map(Words, found.flags))),
            ("task", row.task),
            ("agent", row.agent),
            ("attempt", row.attempt),
            ("grant", found.grant or "-"),
            ("policies", found.policies),
            ("digest", found.digest),
            ("act key", found.act_key),
            ("server", found.server),
            ("definition", found.definition),
            ("scope", found.scope),
            ("bundle", found.bundle),
            *([("key", found.key)] if found.key else []),
            ("history", tuple(Words(_dated(one)) for one in found.history)),
        ]
    )


def _dated(change: str) -> str:
    instant, mark, words = change.partition(" ")
    return f"{moment(int(instant))} {words}" if mark and instant.isdecimal() and instant.isascii() else change
