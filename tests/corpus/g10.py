"""The attack corpus of approvals, G10: what is done around one held action, and the one answer to each step.

`g10.jsonl` has one case a line: ``{id, reason, runs, steps}`` and, where they apply, ``twin_of``, ``lifter``
and ``why``.

1. *steps* are done in order against the real flows (`Stage`): ``{do, is, …}``. *is* is what comes of it: the
   code of an error, the state of the question, or what was decided; left out it is the plain one
   (``hold`` for the first call, ``approved`` for an answer, ``ok`` for the rest).
2. *runs* is how many permits there were. Each case that is refused has one benign twin (*twin_of* names the
   case) that runs once more, so that refusing everything fails too.
3. *why* stands in the reason with which the question ended, or with which the last step was refused.
4. *lifter* is what the policy names; all tools of the bank are held by it.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskbound.adapters.clock.system import SystemClock
from taskbound.adapters.policy.cedar import base_bundle
from taskbound.adapters.store.sql.sqlite.driver import driver
from taskbound.core.approval import AnswerKind, Operand, ProbeKind
from taskbound.core.clock import Instant
from taskbound.core.errors import TaskboundError
from taskbound.core.task import TaskEvent
from taskbound.flows.decision.usable import NotDecided
from taskbound.flows.identity import register_person
from taskbound.flows.identity.account import link_persons
from taskbound.flows.identity.leaving import People
from taskbound.flows.task import keep_account
from taskbound.surfaces.api.operations.approval import detail_of
from taskbound.wire.envelope import ask_decoder
from tests.peers.holding import Holding
from tests.peers.openssh import Device
from tests.peers.people import OWNER, actor_of, enrolled
from tests.sqlite import sqlite_store
from tests.world import ANN, PAY, World, WorldClock, code_of, id_of, scope_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.approval import Question
    from taskbound.core.task import Task
    from taskbound.flows.decision import Answer


FILE = Path(__file__).with_name("g10.jsonl")
PLAIN = {"ask": "hold", "say": "approved"}
UIDS = {"ann": 1000, "bob": 1001, "carl": 1002, "dora": 1003}
WIDE: dict[str, Any] = {
    "grants": [{"tool": "bank__pay", "others": "any"}, {"tool": "bank__look", "others": "any"}]
}
CALL: dict[str, Any] = {
    "to": "bob",
    "amount": 10,
    "note": "rent",
    "target": {"host": "db.example", "database": "books", "user": "app"},
    "files": ["a", "b"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case."""

    id: str
    reason: str
    steps: tuple[dict[str, Any], ...]
    runs: int
    why: str = ""
    twin_of: str = ""
    lifter: str = "approval:finance"

    @property
    def expected(self) -> list[str]:
        """What has to come of each step."""
        return [str(step.get("is", PLAIN.get(step["do"], "ok"))) for step in self.steps]


def cases() -> Sequence[Case]:
    """All, in the order of the file."""
    rows = [json.loads(line) for line in FILE.read_text(encoding="ascii").splitlines()]
    return [Case(**row | {"steps": tuple(row["steps"])}) for row in rows]


def policy(lifter: str) -> str:
    """Every call is held, until what these name, with blanks between them, was given."""
    holds = (
        f'@id("asked-{number}") @hold("{one}") forbid (principal, action, resource);'
        for number, one in enumerate(lifter.split())
    )
    return base_bundle() + "".join(holds)


class TurnedClock(WorldClock):
    """The real clock over a wall clock that can be set, and a steady one that can't."""

    def __init__(self) -> None:
        super().__init__()
        self._steady, self.turned = self.at, 0
        self._real = SystemClock(
            Instant(self.at),
            wall=lambda: (self._steady + self.turned) * 1000,
            elapsed=lambda: self._steady * 1000,
        )

    def now(self) -> Instant:
        self._steady += 1
        self.at = self._real.now()
        return Instant(self.at)

    def advance(self, seconds: float) -> None:
        self._steady += round(seconds * 1_000_000)
        self.now()


@dataclass
class Stage:
    """Where a case is played."""

    case: Case
    folder: Path
    permits: list[str] = field(default_factory=list)
    actions: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._requests = count(1)
        self.store = sqlite_store(self.folder / "g10.db")
        self.rules = policy(self.case.lifter)
        self.there = Holding(self.store, self.rules, clock=TurnedClock())
        self.tasks["own"] = self.there.task = self.there.world.start(scope=WIDE)

    @property
    def world(self) -> World:
        return self.there.world

    def play(self) -> list[str]:
        """What comes of each step."""
        return [self._step(dict(step)) for step in self.case.steps]

    def why(self) -> str:
        """Every reason with which the questions ended, and calls were refused."""
        with self.store.read() as snapshot:
            ended = [one.reason for one in snapshot.approvals.approvals("default", limit=500)]
        return "; ".join([*ended, *self.refusals])

    def close(self) -> None:
        self.store.close()

    def _step(self, step: dict[str, Any]) -> str:
        step.pop("is", None)
        do = getattr(self, f"do_{step.pop('do')}")
        try:
            return str(do(**step) or "ok")
        except TaskboundError as error:
            self.refusals.append(error.message)
            return error.code

    def _note(self, answer: Answer, label: str) -> str:
        code = code_of(answer)
        if code == "permit":
            self.permits.append(id_of(answer))
        if label and code in {"hold", "permit"}:
            self.actions[label] = id_of(answer)
        said = getattr(answer, "refusal" if isinstance(answer, NotDecided) else "decision", None)
        self.refusals += [one.text for one in getattr(said, "reasons", ())]
        return code

    def question(self, of: str) -> Question:
        return self.there.approval(self.actions[of]).question

    # --- the agent's side -----------------------------------------------------------------------------------

    def do_ask(self, **step: Any) -> str:
        """A call: like the plain one but for `with`, or of these bytes (`raw`)."""
        label, task = step.pop("as", "a"), self.tasks[step.pop("task", "own")]
        arguments: Any = CALL | step.pop("with", {})
        for name in step.pop("without", ()):
            del arguments[name]
        if "raw" in step:
            arguments = step.pop("raw").encode()
        if "resume" in step:
            step["resume"], label = self.actions[step["resume"]], ""
        step.setdefault("request", str(next(self._requests)))
        return self._note(self.world.ask(task, step.pop("tool", "bank__pay"), arguments, **step), label)

    def do_many(self, times: int) -> str:
        """So many calls that differ in their amount; what the last one got."""
        codes = [self.do_ask(**{"with": {"amount": one}, "as": f"m{one}"}) for one in range(times)]
        return codes[-1]

    def do_flood(self, questions: int) -> str:
        """So many calls that differ, of tasks of twenty each; how many people were asked about."""
        held, task = 0, self.there.task
        for one in range(questions):
            if one % 20 == 0:
                task = self.world.start(scope=WIDE)
            held += code_of(self.world.ask(task, arguments=CALL | {"amount": one})) == "hold"
        return f"{held} asked"

    def do_race(self, workers: int) -> str:
        """So many workers, each of a daemon of its own, try to use the approval; how many did."""
        worlds = [self.world.beside() for _ in range(workers)]
        found: list[str] = []

        def use(world: World, number: int) -> None:
            found.append(
                code_of(world.ask(self.there.task, arguments=CALL, connection=f"con_{number}", request="r"))
            )

        threads = [threading.Thread(target=use, args=one) for one in zip(worlds, range(workers), strict=True)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        self.permits += ["raced"] * found.count("permit")
        return str(found.count("permit"))

    def do_frame(self, text: str) -> str:
        """A message to the daemon that says more than it may."""
        try:
            ask_decoder.decode(text)
        except ValueError:  # what msgspec raises; a surface closes the connection with it
            return "bad-frame"
        return "ok"

    def do_tell(self, of: str = "a", outcome: str = "succeeded", answer: str = '{"ok":true}') -> None:
        self.world.tell(self.actions[of], outcome, answer.encode() if outcome == "succeeded" else None)

    def do_lose(self, connection: str = "con_a") -> None:
        self.world.approvals.leave("default", connection, reason="the client went away")

    # --- what people say ------------------------------------------------------------------------------------

    def do_say(self, **step: Any) -> str:
        """A signed answer: by `who`, of the statement as `changes`, `mutate` and `text` have it."""
        who, of = step.get("who", "bob"), step.get("of", "a")
        changes = dict(step.get("changes", {}))
        if "mutate" in step:
            changes["digest"] = self._mutated(of, step["mutate"]).digest
        if "digest_of" in step:
            changes["digest"] = self.question(step["digest_of"]).digest
        if "later" in step:
            changes["at"] = Instant(self.world.clock.at + round(step["later"] * 1_000_000))
        kind = AnswerKind(step.get("kind", "approve"))
        raw = self.there.statement(self.actions[of], who, kind, **changes)
        signature = self.there.devices[step.get("signer", who)][1].sign(raw)
        old, new = step.get("text", ("", ""))
        return self._bring(raw.replace(old.encode(), new.encode()), signature, step.get("sign_again", ""))

    def do_repeat(self) -> str:
        """The bytes and the signature that were brought last, again."""
        return self._bring(*self.brought, "")

    def _bring(self, raw: bytes, signature: bytes, signer: str) -> str:
        if signer:
            signature = self.there.devices[signer][1].sign(raw)
        self.brought = (raw, signature)
        told, _ = self.world.approvals.answer("default", raw, signature)
        return told.state.value

    def _mutated(self, of: str, change: dict[str, Any]) -> Question:
        question = self.question(of)
        ((name, value),) = change.items()
        if value == "=":
            value = getattr(question, name)
        elif name == "operands":
            value = (Operand(place="/note", kind=ProbeKind.FILE, found=tuple(sorted(value.items()))),)
        elif name == "lifters":
            value = tuple(value)
        elif isinstance(value, int):
            value = Instant(getattr(question, name) + value)
        return replace(question, **{name: value})

    def do_show(self, of: str = "a") -> str:
        """Look at it, as whatever follows a link does."""
        with self.store.read() as snapshot:
            return detail_of(self.world.adapters, snapshot, self.there.approval(self.actions[of])).row.state

    def do_withdraw(self, of: str = "a", by: str = "ann") -> str:
        name = self.question(of).id
        return self.world.approvals.withdraw("default", name, actor_of(by), reason="not now")[0].state.value

    # --- what happens meanwhile -----------------------------------------------------------------------------

    def do_pass(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    def do_turn(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        clock = self.world.clock
        assert isinstance(clock, TurnedClock)
        clock.turned += round(seconds * 1_000_000)

    def do_restart(self) -> None:
        """Another daemon, over the same store."""
        self.there.rule(self.rules)

    def do_rule(self, text: str = "", lifter: str = "") -> None:
        self.rules = policy(lifter or self.case.lifter) + text
        self.there.rule(self.rules)

    def do_edit(self, mutate: dict[str, Any], of: str = "a") -> None:
        """Somebody who can write into the database changes the question's row."""
        before = self.question(of)
        after = self._mutated(of, mutate)
        connection = driver.connect(self.folder / "g10.db")
        changed = connection.execute(
            "UPDATE approvals SET question = ? WHERE id = ?", (after.canonical, before.id)
        ).rowcount
        connection.commit()
        connection.close()
        assert changed == 1

    def do_tool(self) -> None:
        """A person accepts another definition of the tool."""
        other = dict(PAY, inputSchema={**PAY["inputSchema"], "title": "pays more"}, title="Pay")
        with self.store.read() as snapshot:
            server = snapshot.tools.server("default", "bank")
        assert server is not None
        raw = json.dumps(other).encode()
        self.world.sights.see("default", "bank", server.identity, [raw], agent="coder")
        pin, _ = self.world.sights.difference("default", "bank__pay")
        from taskbound.core.tool import parse_definition  # noqa: PLC0415  # of this step alone

        self.world.sights.accept("default", "bank__pay", parse_definition(pin.seen).digest, ANN)

    def do_server(self, **changes: str) -> None:
        """The server is pinned again, and differs in this."""
        from taskbound.core.tool import ServerIdentity  # noqa: PLC0415  # of this step alone

        self.world.pins.remove("default", "bank", ANN)
        plain: dict[str, Any] = {"command": "/usr/bin/bank", "resolved": "/usr/bin/bank", "sha256": "0" * 64}
        if "environment" in changes:
            plain["environment"] = (("MODE", changes.pop("environment")),)
        identity = ServerIdentity(namespace="default", **plain | changes)
        self.world.pins.add("bank", identity, b"{}", [json.dumps(PAY).encode()], agents=(), actor=ANN)

    def do_amend(self, uses: int) -> None:
        scope = {"grants": [{"tool": "bank__pay", "others": "any", "uses": uses}]}
        self.world.changes.amend("default", self.there.task.id, scope_of(scope), ANN)

    def do_suspend(self) -> None:
        self.world.agents.suspend("default", "coder", ANN, reason="")

    def do_end(self) -> None:
        self.world.tasks.end("default", self.there.task.id, TaskEvent.CANCEL, ANN, reason="")

    def do_pause(self) -> None:
        self.world.tasks.pause("default", self.there.task.id, ANN, reason="")

    def do_start(self, task: str) -> None:
        """Another task of the same agent, with the same scope."""
        self.tasks[task] = self.world.start(scope=WIDE)

    def do_narrow(self) -> None:
        """A task whose scope says which arguments there may be."""
        grant = {"tool": "bank__pay", "arguments": {name: {"any": True} for name in CALL}}
        self.tasks["own"] = self.there.task = self.world.start(scope={"grants": [grant]})

    def do_agent(self, task: str) -> None:
        """Another agent with a task of its own."""
        self.world.add_agent("helper")
        self.tasks[task] = self.world.start(scope=WIDE, agent="helper")

    # --- who people are -------------------------------------------------------------------------------------

    def do_child(self, requester: str) -> None:
        self.there.child(requester)

    def do_account(self, who: str) -> None:
        keep_account(self.world.adapters, self.there.task, UIDS[who])

    def do_join(self, who: str) -> None:
        self.there.groups.set_member("default", "finance", who, member=True, actor=ANN, owns=True)

    def do_leave(self, who: str) -> None:
        self.there.leave(who)

    def do_gone(self, who: str) -> None:
        people = People(self.world.adapters, self.world.views)
        people.leave("default", who, actor_of(who), owns=False, reason="")

    def do_register(self, who: str, uid: int = 2001) -> None:
        register_person(self.world.adapters, "default", who, uid=uid, actor=ANN)
        self.do_key(who)

    def do_key(self, who: str, name: str = "") -> None:
        """A key (another one, under another name here), whose cooling has passed."""
        device = Device()
        voucher = self.there.devices["ann" if who != "ann" else "bob"]
        self.there.devices[name or who] = (enrolled(self.world, who, device, voucher=voucher), device)
        self.world.clock.advance(25 * 3600)
        self.tasks["own"] = self.there.task = self.world.start(scope=WIDE)

    def do_link(self, who: str, other: str) -> None:
        link_persons(self.world.adapters, "default", who, other, linked=True, actor=OWNER, owns=True)
