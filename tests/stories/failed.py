"""Calls that each come to one answer, and what holds of them whatever fails on the way (I-19, law 10).

1. What is not permitted is not permitted when something fails.
2. Who is answered has a record of it, unless the store is said not to be there, or not to be readable.
   Where the error reaches whoever asked there may be none, and where it came behind a record another one.
3. What limits were charged is what the recorded permits cost.
4. The daemon in which something failed answers the next call as one in which nothing did.
5. Unless it was its disk that failed: then its store says nothing any more (`adapters.store.sql`, rule 4).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.adapters.store.sql.sqlite.driver import DiskFailedError
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.task import TaskEvent
from taskbound.flows.revocation import stop
from taskbound.ports.store import ConflictError, StoreUnavailableError
from tests.failing import failing, sites_of
from tests.world import ANN, World, code_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskbound.core.task import Task
    from taskbound.flows.decision import Answer
    from taskbound.ports.store import Store


ERRORS: Final[tuple[Callable[[], Exception], ...]] = (
    lambda: RuntimeError("injected"),
    lambda: TimeoutError("injected"),
    lambda: KeyError("injected"),
    lambda: StoreUnavailableError("injected"),
    lambda: ConflictError("injected"),
    lambda: DeniedError("injected"),
    lambda: MalformedError("injected"),
)
_KINDS: Final = frozenset({"action-decided", "action-undecided", "action-refused-malformed"})
_BROKEN: Final = "disk-failed"
_UNRECORDED: Final = frozenset({"raised", "store-unavailable", "unreadable-row"})
_USES: Final = 1_000_000
_RULES: Final = """
@id("never") forbid (principal, action == Taskbound::Action::"bank__pay", resource)
when { context.arguments.to == "eve" };
@id("large") @hold("confirm") forbid (principal, action == Taskbound::Action::"bank__pay", resource)
when { context.arguments.amount.greaterThan(decimal("1000.0")) };
"""
_PLENTY: Final = {
    "grants": [
        {
            "tool": "bank__pay",
            "arguments": {"to": {"one_of": ["bob", "eve"]}, "amount": {"range": {"min": 0, "max": 5000}}},
            "uses": _USES,
            "total": {"amount": {"limit": 10**12, "exponent": 2}},
        }
    ]
}
_ONCE: Final = {"grants": [{"tool": "bank__pay", "others": "any", "uses": 1}]}
_LITTLE: Final = {
    "grants": [
        {
            "tool": "bank__pay",
            "others": "any",
            "arguments": {"amount": {"any": True}},
            "total": {"amount": {"limit": 500, "exponent": 2}},
        }
    ]
}


@dataclass
class Case:
    """A world in which calls come to one answer."""

    answer: str
    """What `code_of` says of it."""
    world: World
    task: Task
    amount: int = 10
    to: str = "bob"
    key: str = ""
    uses: int = 0
    """That the task's first grant had; 0 where it counts none."""
    same: bool = False
    """Whether each call is the same."""
    once: bool = False
    """Whether a world is good for one call that fails: people are asked so often and no more."""
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def ask(self, daemon: World) -> Answer:
        """One call of this daemon; no other one before was the same, unless each is."""
        number = next(self.numbers)
        amount = self.amount if self.same else round(self.amount + number / 100, 2)
        arguments = {"to": self.to, "amount": amount}
        return daemon.ask(self.task, arguments=arguments, key=self.key, request=f"r{number}")


def _case(answer: str, store: Store, *, scope: dict[str, Any] = _PLENTY, **changes: Any) -> Case:
    world = World(store=store, policy=base_bundle() + _RULES)
    world.settle_in()
    uses = scope["grants"][0].get("uses", 0)
    return Case(answer, world, world.start(scope=scope), **{"uses": uses, **changes})


def _spent(store: Store) -> Case:
    made = _case("exhausted", store, scope=_ONCE)
    assert code_of(made.world.ask(made.task)) == "permit"
    return made


def _ended(store: Store) -> Case:
    made = _case("task-ended", store)
    made.world.tasks.end("default", made.task.id, TaskEvent.COMPLETE, ANN, reason="")
    return made


def _below_an_ended_one(store: Store) -> Case:
    made = _case("task-ended", store)
    child = made.world.child(made.task, scope=_PLENTY)
    made.world.tasks.end("default", made.task.id, TaskEvent.COMPLETE, ANN, reason="")
    made.task = child
    return made


def _suspended(store: Store) -> Case:
    made = _case("inactive-agent", store)
    made.world.agents.suspend("default", "coder", ANN, reason="")
    return made


def _stopped(store: Store) -> Case:
    made = _case("stopped", store)
    stop(made.world.adapters, "default", stopped=True, reason="fire", actor=ANN)
    return made


def _under_a_key(answer: str, store: Store, **changes: Any) -> Case:
    made = _case(answer, store, key="k", **changes)
    first = {"to": "bob", "amount": made.amount}
    assert code_of(made.world.ask(made.task, arguments=first, key="k")) == "permit"
    return made


CASES: Final[dict[str, Callable[[Store], Case]]] = {
    "permit": partial(_case, "permit"),
    "hold": partial(_case, "hold", amount=2000, once=True),
    "policy": partial(_case, "forbidden", to="eve"),
    "outside-scope": partial(_case, "outside-scope", to="mallory"),
    "spent": _spent,
    "total": partial(_case, "exhausted", scope=_LITTLE),
    "ended": _ended,
    "ended-above": _below_an_ended_one,
    "suspended": _suspended,
    "stopped": _stopped,
    "other-under-one-key": partial(_under_a_key, "key-reused"),
    "again": partial(_under_a_key, "duplicate", same=True),
}


def fail(
    name: str, store: Callable[[], Store], *, every: int = 1, first: int = 0, error: int = 0
) -> Counter[str]:
    """Fail at every so-manieth site on the way of a case's calls, and look at what holds; what they came to.

    Args:
        name: One of `CASES`.
        store: Makes an empty one.
        every: How many sites lie from one that fails to the next.
        first: The first one that does.
        error: With which of `ERRORS`; each one after it with the next.
    """
    case = CASES[name](store())
    assert code_of(case.ask(case.world.beside())) == case.answer
    daemon = case.world.beside()
    sites = sites_of(lambda: case.ask(daemon))
    found: Counter[str] = Counter()
    for number, (site, after) in enumerate(sites.items()):
        if number % every == first % every:
            case = _anew(name, case, store) if case.once else case
            raised = ERRORS[(number // every + error) % len(ERRORS)]()
            came = _fail_once(case, site, after, raised)
            case = _anew(name, case, store) if came == _BROKEN else case
            found[came] += 1
    return found


def _anew(name: str, case: Case, store: Callable[[], Store]) -> Case:
    case.world.store.close()  # a case may take hundreds of them
    return CASES[name](store())


def _fail_once(case: Case, site: tuple[str, int, str], after: int, error: Exception) -> str:
    daemon = case.world.beside()
    before = len(case.world.records())
    given, failed = failing(lambda: code_of(case.ask(daemon)), site, after, error)
    came = "not come to" if not failed else "raised" if given is None else given
    where = (case.answer, site, type(error).__name__, came)
    assert came != "permit" or case.answer == "permit", where  # 1
    try:
        records = case.world.records()
    except DiskFailedError:
        assert isinstance(error, OSError), where  # 5
        return _BROKEN
    events = [one["event"] for one in records[before:] if one["event"]["kind"] in _KINDS]
    both = came != "permit" and len(events) == 2
    none = came in _UNRECORDED and not events
    assert len(events) == 1 or both or none, (where, events)  # 2
    permits = sum(one["event"].get("decision") == "permit" for one in records)
    left = case.world.left(case.task).get("g0/uses", 0)
    assert case.uses - left == (permits if case.uses else 0), where  # 3
    after_it = code_of(case.ask(daemon))
    assert after_it == case.answer, (where, after_it)  # 4
    return came
