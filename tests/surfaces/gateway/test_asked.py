"""What a server asks of the one who calls it: decided, labelled, answered once, and nothing beside that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from taskbound.core.action.canonical import canonical
from taskbound.surfaces.gateway.asked.questions import MAX_QUESTIONS
from taskbound.wire.action import Changed, Decide, Narrowed, Outcome
from tests.peers.asking import STATE
from tests.surfaces.gateway.asks import (
    FOLDERS,
    FORM,
    LABEL,
    LEGACY,
    MODERN,
    ROOTS,
    SAID,
    SAMPLE,
    YES,
    Message,
    between,
    refusing,
    shown,
)
from tests.surfaces.gateway.bench import code_of, silence, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.gateway.asks import Asking

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("server", [LEGACY, MODERN])
CLIENTS = pytest.mark.parametrize("client", ["legacy", "modern"])


# --- what reaches whom, in all four combinations ------------------------------------------------------------


@ERAS
@CLIENTS
async def test_each_kind_of_question_is_an_action_and_its_answer_reaches_the_server(
    server: str, client: str, tmp_path: Path
) -> None:
    answers = {"elicitation/create": YES, "sampling/createMessage": SAID, "roots/list": FOLDERS}
    async with between(tmp_path, server=server, client=client) as a:
        found = await a.seen_through(answers, {"form": FORM, "say": SAMPLE, "where": ROOTS})
        assert json.loads(text_of(found)) == {"form": YES, "say": SAID, "where": FOLDERS}
        asked = [f"ask__{name}" for name in ("elicitation/create", "roots/list", "sampling/createMessage")]
        assert sorted(a.decided()) == sorted([*asked, "ask__work"])
        assert {outcome for _, outcome in a.outcomes()} == {"succeeded"}
        kept = [one for one in a.b.daemon.asks if isinstance(one, Outcome) and one.action != "act_1"]
        assert [bool(one.answer) for one in kept] == [False] * 3, "nobody keeps what a client has said"


@ERAS
@CLIENTS
async def test_what_is_shown_is_what_was_decided_but_for_a_label(a: Asking) -> None:
    request = await a.start({"form": FORM})
    params = shown(await a.b.answer_to(request)) if a.modern else (await a.asked())["params"]
    decided = [one for one in a.b.daemon.asks if isinstance(one, Decide)][-1]
    assert params.pop("_meta") == {"io.taskbound/question": {"action": "act_2", "server": "ask"}}
    assert json.loads(bytes(decided.arguments)) == FORM["params"]
    assert params == FORM["params"] | {"message": LABEL + "How much?"}
    assert b"95.5" in bytes(decided.arguments)


async def test_a_prompt_to_a_model_begins_with_the_label_too(tmp_path: Path) -> None:
    asked = {"method": SAMPLE["method"], "params": SAMPLE["params"] | {"systemPrompt": "Be brief."}}
    async with between(tmp_path) as a:
        await a.start({"a": SAMPLE, "b": asked})
        prompts = [(await a.asked("sampling/createMessage"))["params"]["systemPrompt"] for _ in range(2)]
    assert prompts == [LABEL.strip(), LABEL + "Be brief."]


@CLIENTS
async def test_a_servers_own_state_comes_back_to_it_as_it_was_and_reaches_no_client(
    client: str, tmp_path: Path
) -> None:
    async with between(tmp_path, server=MODERN, client=client) as a:
        found = await a.seen_through(
            {"elicitation/create": YES, "roots/list": FOLDERS}, {"one": FORM}, {"two": ROOTS}, state=True
        )
        assert json.loads(text_of(found)) == {"two": FOLDERS}
        raw = a.log.read_bytes()
        assert all(json.dumps(STATE % one).encode() in raw for one in range(2)), "byte for byte"
        assert not any(b"odd" in line for line in a.b.lines)
        ids = [json.loads(line)["id"] for line in raw.splitlines() if b"tools/call" in line]
        assert len(set(ids)) == 3, "each time under an id of its own"


@ERAS
@CLIENTS
async def test_an_answer_reaches_the_server_only_once_its_outcome_is_recorded(a: Asking) -> None:
    with a.b.daemon.holding(Outcome) as held:
        request = await a.start({"form": FORM})
        if a.modern:
            found = await a.b.answer_to(request)
            (key,) = found["result"]["inputRequests"]
            given = {"requestState": found["result"]["requestState"], "inputResponses": {key: YES}}
            await a.b.start("tools/call", a.params({"rounds": [{"form": FORM}]}, **given), modern=True)
        else:
            await a.answer((await a.asked())["id"], YES)
        one = await held.next()
        assert one.ask.outcome == "succeeded"
        if not a.modern:
            await silence(a.b)
        assert b'"accept"' not in a.log.read_bytes()
        one.answer(a.b.daemon.answer(one.ask))
        await a.b.until(lambda: b'"accept"' in a.log.read_bytes())
        last = await held.next()
        last.answer(a.b.daemon.answer(last.ask))


# --- what is not asked --------------------------------------------------------------------------------------


@ERAS
@CLIENTS
async def test_what_is_not_granted_is_not_declared_and_not_asked(
    server: str, client: str, tmp_path: Path
) -> None:
    async with between(tmp_path, server=server, client=client, granted=["roots/list"]) as a:
        refusing(a, "elicitation/create")
        found = await a.b.answer_to(await a.start({"form": FORM}))
        word = b"clientCapabilities" if server == MODERN else b"capabilities"
        assert b'%b":{"roots":{}}' % word in a.log.read_bytes()
        assert not any(b"How much" in line for line in a.b.lines)
        if server == LEGACY:
            assert json.loads(text_of(found))["form"]["error"]["code"] == -32601
        else:
            assert code_of(found) == "question-refused"
            assert dict(a.outcomes())["act_1"] == "failed"


@CLIENTS
async def test_a_question_that_is_refused_tells_the_server_no_reason_and_the_client_nothing(
    a: Asking,
) -> None:
    refusing(a, "elicitation/create")
    found = await a.b.answer_to(await a.start({"form": FORM}))
    error = json.loads(text_of(found))["form"]["error"]
    assert error == {"code": -32601, "message": "this client does not answer `elicitation/create` here"}
    assert not any(b"How much" in line for line in a.b.lines)


@ERAS
@CLIENTS
async def test_a_client_that_did_not_declare_it_is_not_asked_and_one_record_says_so(
    server: str, client: str, tmp_path: Path
) -> None:
    page = {"message": "m", "mode": "url", "url": "https://x.example/a", "elicitationId": "e"}
    url = {"method": "elicitation/create", "params": page}
    async with between(tmp_path, server=server, client=client) as a:  # `{}` is forms alone
        found = await a.b.answer_to(await a.start({"page": url}))
        await a.b.until(lambda: a.recorded() == ["unable-client"])
        assert a.decided() == ["ask__work"]
        if server == LEGACY:
            assert json.loads(text_of(found))["page"]["error"]["code"] == -32601


@CLIENTS
async def test_a_page_is_shown_with_its_whole_url_and_its_host_in_the_label(
    client: str, tmp_path: Path
) -> None:
    there = "https://pay.example:8443/t/9?a=b#c"
    params = {"message": "Pay here", "mode": "url", "url": there, "elicitationId": "e"}
    able: Message = {"elicitation": {"url": {}}}
    async with between(tmp_path, client=client, able=able) as a:
        request = await a.start({"page": {"method": "elicitation/create", "params": params}})
        found = shown(await a.b.answer_to(request)) if a.modern else (await a.asked())["params"]
        assert b'"capabilities":{"elicitation":{"url":{}}}' in a.log.read_bytes()
    assert (found["url"], found["mode"]) == (there, "url")
    label = "[The MCP server `ask`, not Taskbound, asks you to open a page of `pay.example:8443`]"
    assert found["message"] == f"{label} Pay here"


@ERAS
async def test_what_would_hide_something_is_not_shown(server: str, tmp_path: Path) -> None:
    params = FORM["params"] | {"message": "Pay \u202etxt.exe"}
    async with between(tmp_path, server=server) as a:
        await a.b.answer_to(await a.start({"form": {"method": "elicitation/create", "params": params}}))
        await a.b.until(lambda: a.recorded() == ["unfit-question"])
        assert (a.decided(), any(b"txt.exe" in line for line in a.b.lines)) == (["ask__work"], False)


async def test_a_question_outside_of_a_call_has_nobody_to_answer_it(a: Asking) -> None:
    await a.b.answer_to(await a.start(late=FORM))
    (told,) = await a.until_answered()
    assert (told["id"], told["error"]["code"]) == ("late", -32603)
    await a.b.until(lambda: a.recorded() == ["stray-question"])
    assert a.decided() == ["ask__work"]


async def test_an_agent_can_not_ask_itself_what_servers_ask(a: Asking) -> None:
    assert code_of(await a.b.call("ask__elicitation/create", FORM["params"])) == "not-a-tool"
    assert code_of(await a.b.request("elicitation/create", FORM["params"])) == "unknown-method"
    listed = (await a.b.request("tools/list"))["result"]["tools"]
    assert [one["name"] for one in listed] == ["ask__work"]
    assert a.decided() == []


async def test_a_call_is_worth_so_many_questions(a: Asking) -> None:
    rounds = [{f"k{one}": ROOTS} for one in range(MAX_QUESTIONS + 1)]
    found = json.loads(text_of(await a.seen_through({"roots/list": FOLDERS}, *rounds)))
    assert [found[f"k{one}"] for one in range(MAX_QUESTIONS)] == [FOLDERS] * MAX_QUESTIONS
    assert "16 times" in found[f"k{MAX_QUESTIONS}"]["error"]["message"]
    await a.b.until(lambda: a.recorded() == ["asks-too-often"])


async def test_an_error_that_has_pages_opened_goes_no_further(tmp_path: Path) -> None:
    asked = [{"mode": "url", "elicitationId": "e", "message": "m", "url": "https://evil.example/"}]
    error = {"code": -32042, "message": "open this", "data": {"elicitations": asked}}
    async with between(tmp_path) as a:
        found = await a.b.answer_to(await a.start(error=error))
        assert code_of(found) == "question-refused"
        assert not any(b"evil.example" in line for line in a.b.lines)
        assert a.outcomes() == [("act_1", "failed")]


async def test_a_question_that_people_made_less_of_is_asked_so_and_its_answer_is_the_client_s(
    tmp_path: Path,
) -> None:
    less = canonical(SAMPLE["params"] | {"maxTokens": 5})

    def decide(ask: Decide) -> Narrowed | None:
        if not ask.tool.endswith("createMessage") or ask.resume:
            return None
        changed = (Changed(place="/maxTokens", before="10", after="5"),)
        return Narrowed(action="act_less", task="tsk_1", arguments=msgspec.Raw(less), changed=changed)

    async with between(tmp_path) as a:
        a.b.daemon.on[Decide] = decide
        request = await a.start({"say": SAMPLE})
        asked = await a.asked("sampling/createMessage")
        assert asked["params"]["maxTokens"] == 5
        await a.answer(asked["id"], SAID)
        assert json.loads(text_of(await a.b.answer_to(request))) == {"say": SAID}


# --- answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["decline", "cancel"])
@ERAS
@CLIENTS
async def test_what_a_person_does_not_accept_is_told_as_it_is(action: str, a: Asking) -> None:
    found = await a.seen_through({"elicitation/create": {"action": action}}, {"form": FORM})
    assert json.loads(text_of(found)) == {"form": {"action": action}}


async def test_an_answer_counts_once_and_one_to_nothing_is_dropped(a: Asking) -> None:
    request = await a.start({"form": FORM})
    asked = await a.asked()
    await a.answer("taskbound-made-up", YES)
    await a.answer(1, YES)
    await a.answer(asked["id"], YES | {"_meta": {"secret": 1}})
    await a.answer(asked["id"], {"action": "decline"})
    assert json.loads(text_of(await a.b.answer_to(request))) == {"form": YES}
    assert [one["result"] for one in a.heard()] == [YES]


async def test_a_client_s_error_is_the_server_s_to_hear(a: Asking) -> None:
    request = await a.start({"form": FORM})
    error = {"code": -1, "message": "no\nthanks", "data": {"a": 1}}
    await a.answer((await a.asked())["id"], error, "error")
    assert json.loads(text_of(await a.b.answer_to(request))) == {"form": {"error": error}}
    assert ("act_2", "failed") in a.outcomes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "yes"},
        {"action": "decline", "content": {"much": 1}},
        {"action": "accept", "content": {"much": {"deep": 1}}},
        {"action": "accept", "content": {"much": "x" * 300_000}},
        {"action": "accept", "content": {"much": "two\u2028lines"}},
        {"action": "accept", "_meta": {"io.taskbound/decision": {"code": "ok"}}},
    ],
)
@CLIENTS
async def test_what_is_no_answer_reaches_no_server(wrong: Message, a: Asking) -> None:
    request = await a.start({"form": FORM})
    if not a.modern:
        await a.answer((await a.asked())["id"], wrong)
        assert json.loads(text_of(await a.b.answer_to(request)))["form"]["error"]["code"] == -32603
        assert ("act_2", "failed") in a.outcomes()
        return
    result = (await a.b.answer_to(request))["result"]
    (key,) = result["inputRequests"]
    refused = await a.again({"rounds": [{"form": FORM}]}, result["requestState"], {key: wrong})
    if "error" not in refused:  # an imitation is seen where every answer is looked at
        assert "not answered" in text_of(refused)
        return
    good = await a.again({"rounds": [{"form": FORM}]}, result["requestState"], {key: YES})
    assert json.loads(text_of(good)) == {"form": YES}, "what was refused has used nothing up"
