from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.action import canonical
from taskbound.core.approval import BadProbeError, NarrowedRefusedError, PlanRefusedError
from taskbound.core.approval.probe import WITNESS, digest_of
from taskbound.core.decision import Permit, Refuse, Settled
from taskbound.core.decision.settle import LOOK_LIFE
from taskbound.core.tool import ServerIdentity, parse_definition
from taskbound.flows.approval.look import NeedsProbe
from taskbound.flows.audit.rows import compare_rows
from taskbound.flows.decision import Proposer, Step
from taskbound.flows.tool import Declaration
from tests.peers.holding import ASKED, Holding
from tests.sqlite import sqlite_store
from tests.world import ANN, LOOK, PAY, code_of, id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.core.action import JsonValue
    from taskbound.core.approval import Operand
    from taskbound.flows.decision import Answer, Call
    from taskbound.ports.store import Store
    from taskbound.ports.tool import PinnedTool

PAYS: dict[str, Any] = {
    "tool": "bank__pay",
    "arguments": {"amount": {"any": True}},
    "total": {"amount": {"limit": 900, "exponent": 0}},
    "others": "any",
}
SCOPE: dict[str, Any] = {"grants": [PAYS, {"tool": "bank__look", "others": "any", "uses": 9}]}
PROBE = "note=answer:bank__look#path"


class Invoices(Holding):
    """Payments of invoices, of which a reading tool says how they are; and a gateway that reads them."""

    def __init__(self, store: Store, scope: dict[str, Any] | None = None, policy: str = ASKED) -> None:
        super().__init__(store, policy)
        self.says: JsonValue = "due: 10"
        self.meta = 0
        self.outcome = "succeeded"
        self.task = self.world.start(scope=scope or SCOPE)
        self.declare(PROBE)

    def tool(self, name: str = "bank__pay") -> PinnedTool:
        with self.world.store.read() as snapshot:
            found = snapshot.tools.tool("default", name)
        assert found is not None
        return found

    def declare(self, *probes: str) -> None:
        said = Declaration(probes=probes)
        self.world.sights.declare("default", "bank__pay", self.tool().digest, ANN, said)

    def repin(self, definition: dict[str, Any]) -> None:
        """The server lists another definition of the reading tool, and a person takes it."""
        raws = [json.dumps(one).encode() for one in (PAY, definition)]
        self.world.sights.see("default", "bank", self.tool().identity, raws, agent="coder")
        seen = parse_definition(self.tool("bank__look").seen).digest
        self.world.sights.accept("default", "bank__look", seen, ANN)

    def call(self, **more: Any) -> Call:
        arguments = {"to": "bob", "amount": 10, "note": more.pop("note", "INV-7")}
        return self.world.call(self.task, arguments=arguments, **more)

    def result(self) -> bytes:
        self.meta += 1
        content: Any = {"_meta": {"n": self.meta}, "content": [{"text": self.says, "type": "text"}]}
        return json.dumps(content).encode()

    def read(self, call: Call, number: int = 1, **changes: Any) -> str:
        """What a gateway does that is told to read: the reading call, and its outcome."""
        request = f'["read",{call.request},{number}]'
        plain: dict[str, Any] = {"request": request, "tool": "bank__look", "arguments": {"path": "INV-7"}}
        made = self.world.call(self.task, **plain | changes)
        (answer,) = self.world.decide([made])
        if isinstance(answer, Settled) and isinstance(answer.decision, Permit):
            self.world.tell(id_of(answer), self.outcome, self.result(), connection=made.connection)
        return id_of(answer)

    def unseen(self, call: Call) -> NeedsProbe:
        (given,) = self.world.decisions.decide([call])
        assert isinstance(given, NeedsProbe)
        return given

    def bring(self, call: Call, *actions: str) -> Answer:
        (answer,) = self.world.decide([replace(call, read=actions)])
        return answer

    def pay(self, **more: Any) -> Answer:
        call = self.call(**more)
        assert [one.value for one in self.unseen(call).unread] == ['{"path":"INV-7"}']
        return self.bring(call, self.read(call))

    def operand(self, action: str) -> Operand:
        (operand,) = self.approval(action).question.operands
        return operand


def why(answer: Answer) -> str:
    """The refusal's words."""
    assert isinstance(answer, Settled)
    assert isinstance(answer.decision, Refuse)
    assert answer.decision.code == "operand-unreadable"
    return answer.decision.reasons[0].text


@pytest.fixture
def there(store: Store) -> Invoices:
    return Invoices(store)


@pytest.fixture
def here() -> Invoices:
    return Invoices(sqlite_store())


def test_what_a_tool_answers_is_part_of_what_people_sign_and_is_used_once_while_it_is_the_same(
    there: Invoices,
) -> None:
    action = id_of(there.pay())
    operand = there.operand(action)
    assert (operand.place, operand.kind.value) == ("/note", "answer")
    assert dict(operand.found) == {
        "arguments": '{"path":"INV-7"}',
        "by": WITNESS,
        "sha256": digest_of(there.result()),
        "tool": "bank__look",
    }
    there.say(action, "bob")
    answer = there.pay()
    assert (code_of(answer), id_of(answer)) == ("permit", action)
    assert there.state(action) == ("permitted", "consumed")
    assert code_of(there.pay()) == "hold", "once"
    with there.world.store.read() as snapshot:
        assert compare_rows(snapshot, lambda _done, _total: None).differences == ()


def test_another_answer_supersedes_the_question_and_is_asked_about_anew(there: Invoices) -> None:
    action = id_of(there.pay())
    there.say(action, "bob")
    there.says = "due: 99"
    other = there.pay(resume=action)
    assert code_of(other) == "hold"
    assert id_of(other) != action
    assert there.approval(action).reason == "what it names is another thing now: the sha256 behind `/note`"
    assert there.state(action) == ("withdrawn", "superseded")
    there.say(id_of(other), "bob")
    assert code_of(there.pay()) == "permit"


def test_a_reading_is_an_action_with_a_use_and_a_record_that_says_what_it_was_made_for(
    here: Invoices,
) -> None:
    call = here.call(request='"pay 1"')
    before = here.world.records()
    here.unseen(call)
    assert here.world.records() == before, "nothing was decided yet"
    left = here.world.left(here.task)
    action = here.read(call)
    (decided,) = [one for one in here.world.events("action-decided") if one["action"] == action]
    assert (decided["tool"], decided["decision"], decided["for_call"]) == ("bank__look", "permit", '"pay 1"')
    spent = {limit for limit, after in here.world.left(here.task).items() if after != left[limit]}
    assert len(spent) == 1
    here.bring(call, action)
    assert "for_call" not in here.world.events("action-decided")[-1]


def test_a_call_that_policy_permits_has_nothing_read_for_it() -> None:
    here = Invoices(sqlite_store(), policy=ASKED.replace('"bank__pay"', '"bank__other"'))
    (answer,) = here.world.decisions.decide([here.call()])
    assert not isinstance(answer, NeedsProbe)
    assert code_of(answer) == "permit"


def test_who_brings_nothing_or_more_than_was_to_be_read_is_refused(here: Invoices) -> None:
    call = here.call()
    assert "nothing was read" in why(here.bring(call))
    call = here.call()
    assert "was not called for it" in why(here.bring(call, ""))
    call = here.call()
    assert "was not called for it" in why(here.bring(call, "act_none"))
    call = here.call()
    first = here.read(call)
    here.says = "due: 99"
    assert "and 2 are brought" in why(here.bring(call, first, here.read(call, 2)))


OTHERS: dict[str, Callable[[Invoices, Call], str]] = {
    "other arguments": lambda here, call: here.read(call, arguments={"path": "INV-8"}),
    "more arguments": lambda here, call: here.read(call, arguments={"path": "INV-7", "x": 1}),
    "another tool": lambda here, call: here.read(call, tool="bank__pay", arguments={"path": "INV-7"}),
    "another presentation": lambda here, _call: here.read(here.call()),
    "a call of the agent's own": lambda here, call: here.read(call, request="77"),
    "another connection": lambda here, call: here.read(call, connection="con_b"),
    "another task": lambda here, call: id_of(
        here.world.ask(
            here.world.start(scope=SCOPE),
            "bank__look",
            {"path": "INV-7"},
            request=f'["read",{call.request},1]',
        )
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_what_was_read_for_something_else_is_not_taken(here: Invoices, other: str) -> None:
    call = here.call()
    assert why(here.bring(call, OTHERS[other](here, call))) == "what is brought was not read for this call"


def test_what_was_read_too_long_ago_is_not_taken(here: Invoices) -> None:
    action = id_of(here.pay())
    here.say(action, "bob")
    call = here.call()
    reading = here.read(call)
    here.world.clock.advance(LOOK_LIFE / 1_000_000)
    assert "too old" in why(here.bring(call, reading))
    assert here.state(action) == ("withdrawn", "superseded")


def test_an_approval_is_not_used_for_what_was_read_before_it_waited_for_its_commit(here: Invoices) -> None:
    action = id_of(here.pay())
    here.say(action, "bob")
    call = here.call()
    reading = here.read(call)
    here.world.clock.advance(3)
    here.world.meanwhile(lambda: here.world.clock.advance(3))
    assert "too old" in why(here.bring(call, reading))


def test_a_reading_that_scope_does_not_cover_refuses_the_call_with_its_reason() -> None:
    here = Invoices(sqlite_store(), {"grants": [PAYS]})
    call = here.call()
    reading = here.read(call)
    assert "`bank__look` may not be called for it (outside-scope)" in why(here.bring(call, reading))


def test_a_reading_whose_uses_are_gone_refuses_the_call(here: Invoices) -> None:
    for _ in range(9):
        here.pay()
    call = here.call()
    reading = here.read(call)
    assert "`bank__look` may not be called for it" in why(here.bring(call, reading))


def test_a_reading_that_policy_holds_refuses_the_call() -> None:
    policy = ASKED + (
        '@id("look") @hold("approval:finance")'
        ' forbid (principal, action == Taskbound::Action::"bank__look", resource);'
    )
    here = Invoices(sqlite_store(), policy=policy)
    call = here.call()
    assert "`bank__look` may not be called for it (held)" in why(here.bring(call, here.read(call)))


@pytest.mark.parametrize("outcome", ["failed", "unknown", "not-sent"])
def test_a_reading_that_did_not_succeed_refuses_the_call(here: Invoices, outcome: str) -> None:
    here.outcome = outcome
    call = here.call()
    assert why(here.bring(call, here.read(call))) == f"`bank__look` was called for it: {outcome}"
    here.outcome = "succeeded"
    assert code_of(here.pay()) == "hold", "it is read anew for the next call"


def test_a_reading_that_is_under_way_still_refuses_the_call(here: Invoices) -> None:
    call = here.call()
    request = f'["read",{call.request},1]'
    reading = here.world.ask(here.task, "bank__look", {"path": "INV-7"}, request=request)
    assert why(here.bring(call, id_of(reading))) == "`bank__look` was called for it: permitted"


RESULTS = {
    "no JSON that is strict": (b'{"content":[],"content":[]}', "can't be read"),
    "too long to keep": (None, "withheld or too long"),
}


@pytest.mark.parametrize("how", RESULTS)
def test_an_answer_that_can_t_be_read_refuses_the_call(here: Invoices, how: str) -> None:
    raw, words = RESULTS[how]
    here.result = lambda: raw  # type: ignore[method-assign, assignment, return-value]  # the server's answer of this story
    call = here.call()
    assert words in why(here.bring(call, here.read(call)))


def test_an_answer_that_was_withheld_is_not_used(here: Invoices) -> None:
    call = here.call()
    request = f'["read",{call.request},1]'
    reading = here.world.ask(here.task, "bank__look", {"path": "INV-7"}, request=request)
    here.world.tasks.pause("default", here.task.id, ANN, reason="wait")
    here.world.tell(id_of(reading))
    here.world.tasks.resume("default", here.task.id, ANN)
    assert "withheld" in why(here.bring(call, id_of(reading)))


def test_a_list_is_read_item_by_item_and_each_thing_once(here: Invoices) -> None:
    call = here.call(note=["INV-7", "INV-8", "INV-7"])
    given = here.unseen(call).unread
    assert [one.value for one in given] == ['{"path":"INV-7"}', '{"path":"INV-8"}']
    first, second = here.read(call), here.read(call, 2, arguments={"path": "INV-8"})
    operands = here.approval(id_of(here.bring(call, first, second))).question.operands
    assert [one.place for one in operands] == ["/note/0", "/note/1", "/note/2"]
    assert operands[0].found == operands[2].found != operands[1].found
    call = here.call(note=["INV-7", "INV-8", "INV-7"])
    first, second = here.read(call), here.read(call, 2, arguments={"path": "INV-8"})
    assert why(here.bring(call, second, first)) == "what is brought was not read for this call"


def test_a_declaration_is_kept_with_the_reading_tool_s_definition_and_is_void_under_another(
    here: Invoices,
) -> None:
    assert here.tool().probes == (f"{PROBE}@{here.tool('bank__look').digest}",)
    here.repin(LOOK | {"description": "Looks, and does more."})
    call = here.call()
    assert "a person has to declare it anew" in why(here.bring(call, here.read(call)))
    here.declare(PROBE)
    assert code_of(here.pay()) == "hold"


def test_what_was_read_from_a_server_that_is_another_one_now_is_not_taken(here: Invoices) -> None:
    call = here.call()
    reading = here.read(call)
    here.world.pins.remove("default", "bank", ANN)
    other = ServerIdentity(namespace="default", command="/bin/b", resolved="/bin/b", sha256="2" * 64)
    raws = [json.dumps(one).encode() for one in (PAY, LOOK)]
    here.world.pins.add("bank", other, b"{}", raws, agents=(), actor=ANN)
    here.declare(PROBE)
    assert "is another tool than the one that was declared" in why(here.bring(call, reading))
    assert code_of(here.pay()) == "hold"


def test_a_declaration_falls_with_the_definition_of_the_tool_that_it_is_of(here: Invoices) -> None:
    raws = [json.dumps(one).encode() for one in (PAY | {"description": "Pays more."}, LOOK)]
    here.world.sights.see("default", "bank", here.tool().identity, raws, agent="coder")
    here.world.sights.accept("default", "bank__pay", parse_definition(here.tool().seen).digest, ANN)
    assert here.tool().probes == ()


UNFIT: dict[str, tuple[str, dict[str, Any], str]] = {
    "not pinned": ("bank__peek#path", LOOK, "is no tool that is pinned"),
    "itself": ("bank__pay#note", LOOK, "no other tool of the server"),
    "of another server": ("files__look#path", LOOK, "no other tool of the server"),
    "writes": ("bank__look#path", LOOK | {"annotations": {"readOnlyHint": False}}, "only reads"),
    "says nothing": (
        "bank__look#path",
        {one: LOOK[one] for one in LOOK if one != "annotations"},
        "only reads",
    ),
    "no such argument": ("bank__look#id", LOOK, "has no argument `id`"),
    "needs more": (
        "bank__look#path",
        LOOK | {"inputSchema": LOOK["inputSchema"] | {"required": ["path", "depth"]}},
        "needs more than",
    ),
    "of another definition": (f"bank__look#path@{'0' * 64}", LOOK, "another one than the declaration names"),
}


@pytest.mark.parametrize("unfit", UNFIT)
def test_what_is_not_fit_to_read_is_not_declared(here: Invoices, unfit: str) -> None:
    where, definition, words = UNFIT[unfit]
    files = ServerIdentity(namespace="default", command="/bin/f", resolved="/bin/f", sha256="1" * 64)
    here.world.pins.add("files", files, b"{}", [json.dumps(LOOK).encode()], agents=(), actor=ANN)
    if definition is not LOOK:
        here.repin(definition)
    before = here.tool().probes
    with pytest.raises(BadProbeError, match=words):
        here.declare(f"note=answer:{where}")
    assert here.tool().probes == before


def test_a_reading_tool_that_changed_and_was_not_taken_is_not_declared(here: Invoices) -> None:
    raws = [json.dumps(one).encode() for one in (PAY, LOOK | {"description": "Looks, and more."})]
    here.world.sights.see("default", "bank", here.tool().identity, raws, agent="coder")
    with pytest.raises(BadProbeError, match="pinned as its server lists it"):
        here.declare(PROBE)


def test_nobody_narrows_or_plans_what_a_tool_has_to_be_called_for(here: Invoices) -> None:
    action = id_of(here.pay())
    less: JsonValue = {"to": "bob", "amount": 5, "note": "INV-7"}
    with pytest.raises(NarrowedRefusedError, match="own gateway"):
        here.narrow(action, "bob", less)
    assert here.state(action) == ("held", "pending")
    task = here.world.start(scope=SCOPE)
    steps = [Step(tool="bank__pay", arguments=canonical(less))] * 2
    with pytest.raises(PlanRefusedError, match="own gateway"):
        here.world.planning.ask(
            "default", task.id, steps, Proposer(actor=ANN, connection="con_p", beneath=False)
        )
