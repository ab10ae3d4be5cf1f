from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from taskbound.core.action.canonical import canonical
from taskbound.surfaces.gateway.requests import MAX_OPEN
from taskbound.wire.action import Decide, Duplicate, Malformed, Outcome, Reason, Refused, Withheld
from taskbound.wire.connection import Bind, Fault
from taskbound.wire.mcp.message import DECISION_KEY, IDEMPOTENCY_KEY
from tests.peers.commands import Served, echo, faulty
from tests.surfaces.gateway.bench import Bench, bench, code_of, decision_of, reached, text_of

pytestmark = pytest.mark.anyio
ASKING = (
    Path(faulty("drips")[1]).read_text(encoding="utf-8").replace('"complete"} if', '"input_required"} if')
)
"""A server whose calls ask for more input."""
ERAS = pytest.mark.parametrize("served", ["legacy", "modern"])
MODERN = pytest.mark.parametrize("modern", [False, True], ids=["legacy-client", "modern-client"])


# --- what is asked, sent and answered -----------------------------------------------------------------------


@ERAS
@MODERN
async def test_a_permitted_call_reaches_the_server_and_its_result_the_client(
    served: Served, tmp_path: Path, *, modern: bool
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era=served, log=log), handshake=False) as b:
        if not modern:
            await b.handshake()
        answer = await b.call("echo__echo", {"text": "grüße"}, modern=modern)
        ask = await b.daemon.asked(Decide)
        outcome = await b.daemon.asked(Outcome)
    assert text_of(answer) == "grüße"
    assert answer["result"].get("resultType", "complete") == "complete"
    assert ("resultType" in answer["result"]) is (modern or served == "modern")
    assert (ask.tool, bytes(ask.arguments)) == ("echo__echo", canonical({"text": "grüße"}))
    assert (outcome.outcome, outcome.action) == ("succeeded", "act_1")
    assert reached(log)[-1]["params"]["arguments"] == {"text": "grüße"}


@ERAS
async def test_what_was_decided_is_what_is_sent_byte_for_byte(served: Served, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era=served, log=log)) as b:
        raw = b'{ "z":1e2, "text" : "\\u0061", "a":[1.0, -0.0 ,{"c":true,"b":null}] }'
        call = (
            b'{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"echo__echo","arguments":%b}}\n'
        )
        await b.send(call % raw)
        await b.answer_to(9)
        ask = await b.daemon.asked(Decide)
    decided = bytes(ask.arguments)
    assert decided == b'{"a":[1,0,{"b":null,"c":true}],"text":"a","z":100}'
    assert b'"arguments":' + decided + b"," in log.read_bytes()


async def test_the_result_is_the_servers_byte_for_byte(tmp_path: Path) -> None:
    async with bench(tmp_path, faulty("drips"), name="odd") as b:
        await b.call("odd__work")
        line = b.lines[-1]
        outcome = await b.daemon.asked(Outcome)
    assert isinstance(outcome.answer, msgspec.Raw)
    assert line.endswith(b'"result":' + bytes(outcome.answer) + b"}")


async def test_nothing_of_a_clients_meta_but_its_key_and_no_progress_token_goes_upstream(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="modern", log=log)) as b:
        meta = {"progressToken": "canary-1", "com.example/x": "canary-2", IDEMPOTENCY_KEY: "canary-3"}
        params = {"name": "echo__echo", "arguments": {"text": "a"}, "_meta": meta}
        await b.request("tools/call", params)
        ask = await b.daemon.asked(Decide)
    assert ask.key == "canary-3"
    sent = log.read_bytes()
    assert sent.count(b"canary") == sent.count(b'"io.taskbound/idempotency-key":"canary-3"') == 1


@pytest.mark.parametrize("request_id", [7, -7, 0, "7", "a\\u00e9", "", 2**53 - 1])
async def test_a_request_is_named_to_the_daemon_by_its_id_as_canonical_text(
    request_id: int | str, b: Bench
) -> None:
    written = json.dumps(request_id)
    await b.send(
        b'{"jsonrpc":"2.0","id":%b,"method":"tools/call","params":{"name":"echo__echo"}}\n' % written.encode()
    )
    await b.answer_to(request_id)
    assert (await b.daemon.asked(Decide)).request == canonical(request_id).decode()
    assert b'"id":' + written.encode() + b"," in b.lines[-1]


@pytest.mark.parametrize("key", ["", 5, None, [], "x" * 201])
async def test_an_idempotency_key_that_is_none_refuses_the_call(key: object, b: Bench) -> None:
    params = {"name": "echo__echo", "arguments": {}, "_meta": {IDEMPOTENCY_KEY: key}}
    assert code_of(await b.request("tools/call", params)) == "bad-params"
    assert (await b.daemon.asked(Malformed)).tool == "echo__echo"
    assert b.daemon.count(Decide) == 0


async def test_a_failed_tool_is_a_failed_outcome_and_its_result_is_passed_on(tmp_path: Path) -> None:
    async with bench(tmp_path, echo(era="legacy")) as b:
        answer = await b.call("echo__echo", {"text": 5})
        outcome = await b.daemon.asked(Outcome)
    assert answer["result"]["isError"] is True
    assert DECISION_KEY not in answer["result"].get("_meta", {})
    assert outcome.outcome == "failed"
    assert isinstance(outcome.answer, msgspec.Raw)


async def test_a_servers_error_is_a_failed_outcome_and_is_passed_on_as_it_is(tmp_path: Path) -> None:
    async with bench(tmp_path, faulty("error-with-orders"), name="odd") as b:
        answer = await b.call("odd__work")
        outcome = await b.daemon.asked(Outcome)
    assert answer["error"]["code"] == -32603
    assert answer["error"]["message"].startswith("Failed.")
    assert (outcome.outcome, outcome.answer) == ("failed", msgspec.UNSET)
    assert outcome.note.startswith("Failed.")


async def test_a_result_over_a_mebibyte_is_passed_on_and_only_its_digest_is_kept(tmp_path: Path) -> None:
    async with bench(tmp_path, echo(era="legacy")) as b:
        answer = await b.call("echo__big", {"n": 3_000_000})
        outcome = await b.daemon.asked(Outcome)
    assert text_of(answer) == "x" * 3_000_000
    assert outcome.answer is msgspec.UNSET
    assert len(outcome.answer_sha256) == 64


async def test_many_calls_at_once_are_each_answered_once_under_their_own_id(tmp_path: Path) -> None:
    async with bench(tmp_path, echo(era="legacy")) as b:
        ids = [await b.start_call("echo__echo", {"text": str(number)}) for number in range(MAX_OPEN)]
        answers = {request: text_of(await b.answer_to(request)) for request in reversed(ids)}
    assert list(answers.values()) == [str(number) for number in reversed(range(MAX_OPEN))]


async def test_answers_go_to_whom_they_are_for_when_they_come_in_another_order(tmp_path: Path) -> None:
    async with bench(tmp_path, faulty("answers-in-reverse"), name="odd") as b:
        first = await b.start_call("odd__work", {"text": "first"})
        second = await b.start_call("odd__work", {"text": "second"})
        assert json.loads(text_of(await b.answer_to(first))) == {"text": "first"}
        assert json.loads(text_of(await b.answer_to(second))) == {"text": "second"}


# --- refusals -----------------------------------------------------------------------------------------------


async def test_a_refusal_is_a_result_with_one_sentence_and_the_structured_reason(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        b.daemon.on[Decide] = lambda _: Refused(
            action="act_9",
            task="tsk_1",
            code="outside-scope",
            instead="call it with `amount` at most 50",
            reasons=(
                Reason(code="range", text="`amount` is 70, and at most 50 is granted", detail="amount"),
            ),
        )
        answer = await b.call("echo__echo", {"text": "a"})
    assert answer["result"]["isError"] is True
    assert "structuredContent" not in answer["result"]
    assert text_of(answer) == (
        "Refused: `amount` is 70, and at most 50 is granted. Call it with `amount` at most 50."
    )
    assert decision_of(answer) == {
        "code": "outside-scope",
        "action": "act_9",
        "task": "tsk_1",
        "reasons": [
            {"code": "range", "text": "`amount` is 70, and at most 50 is granted", "detail": "amount"}
        ],
    }
    assert reached(log) == []


async def test_a_fault_of_the_daemon_is_a_refusal_with_its_words(tmp_path: Path) -> None:
    async with bench(tmp_path, echo(era="legacy")) as b:
        b.daemon.on[Decide] = lambda _: Fault(
            code="key-reused", message="the key was used", advice="use another"
        )
        answer = await b.call("echo__echo", {"text": "a"})
    assert text_of(answer) == "Refused: the key was used. Use another."
    assert code_of(answer) == "key-reused"


async def test_without_a_task_the_call_is_still_decided_by_the_daemon_and_nothing_is_started(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log), handshake=False) as b:
        log.unlink()
        await b.handshake()
        b.daemon.on[Bind] = lambda _: Fault(code="no-task", message="no task runs for agent `coder`")
        b.daemon.on[Decide] = lambda _: Refused(action="", task="", code="no-task", instead="ask for one")
        answer = await b.call("echo__echo", {"text": "a"})
        assert code_of(answer) == "no-task"
        assert b.daemon.count(Decide) == 1
    assert not log.exists()


async def test_a_tool_that_the_task_can_not_reach_starts_no_server(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log), handshake=False) as b:
        log.unlink()
        b.daemon.tools = []
        await b.handshake()
        b.daemon.on[Decide] = lambda _: Refused(action="", task="tsk_1", code="unknown-tool", instead="none")
        assert code_of(await b.call("echo__echo", {})) == "unknown-tool"
        assert code_of(await b.call("other__x", {})) == "unknown-tool"
    assert not log.exists()


async def test_more_open_calls_than_the_bound_are_refused_and_the_others_go_on(b: Bench) -> None:
    with b.daemon.holding(Decide) as held:
        ids = [await b.start_call("echo__echo", {"text": str(number)}) for number in range(MAX_OPEN)]
        over = await b.start_call("echo__echo", {"text": "over"})
        assert code_of(await b.answer_to(over)) == "busy"
        for _ in ids:
            one = await held.next()
            one.answer(b.daemon.answer(one.ask))
    for request in ids:
        assert code_of(await b.answer_to(request)) == "ok"
    assert b.daemon.count(Decide) == MAX_OPEN


async def test_a160_an_id_that_is_open_is_refused_and_never_answered_in_the_open_calls_name(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        params = b'{"name":"echo__echo","arguments":{"text":"%b"}}'
        call = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":' + params + b"}\n"
        with b.daemon.holding(Decide) as held:
            await b.send(call % b"one")
            one = await held.next()
            await b.send(call % b"two")
            await b.send(b'{"jsonrpc":"2.0","id":7,"method":"ping"}\n')
            await b.send(b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{},"params":{}}\n')
            codes = [code_of(await b.answer_to(None)) for _ in range(3)]
            assert codes == ["id-reused", "id-reused", "duplicate-key"]
            one.answer(b.daemon.answer(one.ask))
        assert text_of(await b.answer_to(7)) == "one"
        await b.send(call % b"three")
        assert text_of(await b.answer_to(7)) == "three"
    assert [one["params"]["arguments"]["text"] for one in reached(log)] == ["one", "three"]


async def test_a160_a_number_and_a_text_are_two_ids(b: Bench) -> None:
    for written in (b"7", b'"7"'):
        await b.send(
            b'{"jsonrpc":"2.0","id":%b,"method":"tools/call","params":{"name":"echo__echo","arguments":{"text":"a"}}}\n'
            % written
        )
    assert text_of(await b.answer_to(7)) == text_of(await b.answer_to("7")) == "a"


# --- duplicates ---------------------------------------------------------------------------------------------


@MODERN
async def test_a_duplicate_gets_the_stored_answer_byte_for_byte_and_is_not_sent(
    tmp_path: Path, *, modern: bool
) -> None:
    log = tmp_path / "log"
    stored = b'{ "content":[ {"type":"text","text":"\\u0061"} ], "x":1.50 }'
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        b.daemon.on[Decide] = lambda _: Duplicate(
            action="act_1", task="tsk_1", state="succeeded", answer=msgspec.Raw(stored)
        )
        await b.call("echo__echo", {}, modern=modern)
    expected = stored if not modern else b'{"resultType":"complete",' + stored[1:]
    assert b.lines[-1].endswith(b'"result":' + expected + b"}")
    assert reached(log) == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("permitted", "wait for the answer"),
        ("sent", "wait for the answer"),
        ("unknown", "look whether it took effect"),
        ("not-sent", "it did not run"),
        ("failed", "it ran and failed"),
        ("reconciled-failed", "a person found out"),
        ("unwatched", "its outcome is not reported"),
        ("of another version", "do not repeat it"),
    ],
)
async def test_a_duplicate_without_an_answer_is_told_its_state(
    state: str, words: str, tmp_path: Path
) -> None:
    async with bench(tmp_path, echo(era="legacy")) as b:
        b.daemon.on[Decide] = lambda _: Duplicate(action="act_1", task="tsk_1", state=state)
        answer = await b.call("echo__echo", {})
    assert code_of(answer) == "duplicate"
    assert words in text_of(answer).lower()


# --- a permit that is not used ------------------------------------------------------------------------------


async def test_a170_a_server_that_was_replaced_is_not_started_and_the_permit_is_given_back(
    tmp_path: Path,
) -> None:
    script = tmp_path / "server.py"
    shutil.copy(echo()[1], script)
    command = [echo()[0], str(script), "--era", "legacy", "--log", str(tmp_path / "log")]
    async with bench(tmp_path, command) as b:
        script.write_bytes(script.read_bytes() + b"\n# evil\n")
        (tmp_path / "log").unlink()
        answer = await b.call("echo__echo", {"text": "a"})
        outcome = await b.daemon.asked(Outcome)
        assert b.daemon.count(Decide) == 1
    assert code_of(answer) == "server-changed"
    assert outcome.outcome == "not-sent"
    assert "not the file that was pinned" in outcome.note
    assert not (tmp_path / "log").exists()


async def test_a_permit_for_another_server_than_the_one_that_runs_is_not_used(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        b.daemon.on[Decide] = lambda ask: b.daemon.permit(ask, server="f" * 64)
        answer = await b.call("echo__echo", {"text": "a"})
        assert (await b.daemon.asked(Outcome)).outcome == "not-sent"
        del b.daemon.on[Decide]
        assert code_of(answer) == "server-repinned"
        assert text_of(await b.call("echo__echo", {"text": "b"})) == "b"
    assert [one["params"]["arguments"]["text"] for one in reached(log)] == ["b"]


async def test_a_permit_for_another_task_is_not_used(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        b.daemon.on[Decide] = lambda ask: b.daemon.permit(ask, task="tsk_2")
        await b.call("echo__echo", {"text": "a"})
        assert (await b.daemon.asked(Outcome)).outcome == "not-sent"
    assert reached(log) == []


async def test_a_permit_that_ran_out_is_not_used(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        b.daemon.on[Decide] = lambda ask: b.daemon.permit(ask, until=b.now)
        assert text_of(await b.call("echo__echo", {"text": "in time"})) == "in time"
        b.daemon.on[Decide] = lambda ask: b.daemon.permit(ask, until=b.now - 1)
        assert code_of(await b.call("echo__echo", {"text": "late"})) == "permit-lapsed"
        outcomes = [(await b.daemon.asked(Outcome)).outcome for _ in range(2)]
    assert outcomes == ["succeeded", "not-sent"]
    assert len(reached(log)) == 1


async def test_a_result_that_a_legacy_client_can_not_be_told_is_refused_before_the_call(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    tools = [
        {"name": "echo", "inputSchema": {"type": "object"}, "outputSchema": {"type": "array"}},
        {"name": "plain", "inputSchema": {"type": "object"}, "outputSchema": {"type": "object"}},
    ]
    (tmp_path / "tools.json").write_text(json.dumps(tools), encoding="utf-8")
    async with bench(tmp_path, echo(era="modern", log=log, tools=tmp_path / "tools.json")) as b:
        listed = (await b.request("tools/list"))["result"]["tools"]
        assert [one["name"] for one in listed] == ["echo__plain"]
        assert code_of(await b.call("echo__echo", {"text": "a"})) == "unbridgeable"
        assert (await b.daemon.asked(Outcome)).outcome == "not-sent"
        assert reached(log) == []
        listed = (await b.request("tools/list", modern=True))["result"]["tools"]
        assert [one["name"] for one in listed] == ["echo__echo", "echo__plain"]
        assert text_of(await b.call("echo__echo", {"text": "a"}, modern=True)) == "a"


async def test_a_result_that_asks_for_more_and_for_nothing_is_unknown_and_withheld(tmp_path: Path) -> None:
    odd = tmp_path / "odd.py"
    odd.write_text(ASKING, encoding="utf-8")
    async with bench(tmp_path, [faulty("drips")[0], str(odd), "--fault", "drips"], name="odd") as b:
        answer = await b.call("odd__work")
        outcome = await b.daemon.asked(Outcome)
    assert outcome.outcome == "unknown"
    assert code_of(answer) == "not-the-protocol"


# --- release ------------------------------------------------------------------------------------------------


async def test_a_result_leaves_only_once_the_outcome_is_recorded(b: Bench) -> None:
    with b.daemon.holding(Outcome) as held:
        request = await b.start_call("echo__echo", {"text": "secret"})
        one = await held.next()
        mark = await b.start("ping")
        assert (await b.answer_to(mark))["result"] == {}
        assert not any(b"secret" in line for line in b.lines)
        one.answer(b.daemon.answer(one.ask))
    assert text_of(await b.answer_to(request)) == "secret"


async def test_a_withheld_result_never_leaves_and_says_why(tmp_path: Path) -> None:
    async with bench(tmp_path, echo(era="legacy")) as b:
        b.daemon.on[Outcome] = lambda ask: Withheld(
            action=ask.action, code="task-ended", reason="the task has ended"
        )
        answer = await b.call("echo__echo", {"text": "canary"})
    assert code_of(answer) == "task-ended"
    assert "withheld: the task has ended" in text_of(answer)
    assert not any(b"canary" in line for line in b.lines)


async def test_an_outcome_that_the_daemon_faults_is_withheld(tmp_path: Path) -> None:
    async with bench(tmp_path, echo(era="legacy")) as b:
        b.daemon.on[Outcome] = lambda _: Fault(code="full-disk", message="the disk is full")
        answer = await b.call("echo__echo", {"text": "canary"})
    assert code_of(answer) == "full-disk"
    assert not any(b"canary" in line for line in b.lines)
