"""The corpora of G1 and G9 through a real gateway, with a real server's raw log as the proof."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_document
from taskbound.wire.action import Decide, Malformed
from tests.corpus.g9 import Case, cases
from tests.peers.commands import echo
from tests.surfaces.gateway.bench import Bench, bench, code_of

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

G1 = Path(__file__).parents[2] / "corpus" / "g1.jsonl"
HEAD = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo__echo","arguments":'
UNASKED = {"unknown-method"}
"""Refused because it asks for something else than an action: there is nothing to record."""


async def settle(b: Bench) -> list[dict[str, Any]]:
    """Everything that was answered before an answer to a question of our own."""
    mark = await b.start("ping")
    found: list[dict[str, Any]] = []
    while True:
        one = json.loads(await b.read_line())
        if one.get("id") == mark and "result" in one:
            return found
        if "method" not in one:
            found.append(one)


def calls_in(log: Path) -> list[bytes]:
    """The exact argument bytes of each call that reached the server."""
    lines = [line for line in log.read_bytes().splitlines() if b'"tools/call"' in line]
    return [line.split(b'"arguments":', 1)[1].removesuffix(b',"name":"echo"}}') for line in lines]


def arguments_of(raw: bytes) -> list[bytes]:
    """The canonical argument bytes of each call in what a client wrote, by its own reading."""
    found = []
    for line in raw.split(b"\n"):
        if line.strip():
            message = parse_document(line.rstrip(b"\r"))
            assert isinstance(message, dict)
            if message.get("method") == "tools/call":
                params = message["params"]
                assert isinstance(params, dict)
                found.append(canonical(params.get("arguments", {})))
    return found


async def refused(b: Bench, name: str, raw: Sequence[bytes], code: str) -> None:
    """The first line of the bytes gets one error of this code, and nothing of any is decided."""
    before = b.daemon.count(Decide)
    for piece in raw:
        await b.send(piece)
    answers = await settle(b)
    assert all("error" in one for one in answers), (name, answers)
    assert code_of(answers[0]) == code, (name, answers)
    assert len(answers) == max(1, b"".join(raw).rstrip(b"\n").count(b"\n") + 1), (name, answers)
    assert answers[0]["id"] in {1, 7, None}, (name, answers)
    assert b.daemon.count(Decide) == before, name
    if code not in UNASKED:
        reported = [(await b.daemon.asked(Malformed)).code for _ in answers]
        assert reported == [code_of(one) for one in answers], name


async def permitted(b: Bench, name: str, raw: Sequence[bytes], *, calls: int) -> None:
    """Each call of the bytes is answered with a result."""
    before = b.daemon.count(Malformed)
    for piece in raw:
        await b.send(piece)
    due = max(calls, sum(b'"id"' in line for line in b"".join(raw).split(b"\n")))
    answers = [await b.wait_for(lambda one: "method" not in one) for _ in range(due)]
    assert [one for one in answers if "error" in one] == [], (name, answers)
    assert b.daemon.count(Malformed) == before, name


REFUSED = [one for one in cases("line", "message", "method", "name") if one.expect != "ok" and not one.eof]
SILENT = {"A159-09", "A159-10", "A159-11"}
DAEMONS = {"unknown-tool"}


async def test_g9_each_refused_line_gets_one_named_error_and_nothing_of_it_goes_further(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        await b.call("echo__echo", {"text": "first"})
        started = len(calls_in(log))
        tried = 0
        for case in REFUSED:
            if case.id in SILENT or case.expect in DAEMONS:
                continue
            await refused(b, case.id, case.pieces, case.expect)
            tried += 1
        await b.call("echo__echo", {"text": "last"})
        assert calls_in(log)[started:] == [b'{"text":"last"}']
    assert tried > 150


async def test_g9_each_twin_passes_and_its_arguments_arrive_byte_for_byte(tmp_path: Path) -> None:
    log = tmp_path / "log"
    found = [one for one in cases("line", "message", "method", "name") if one.expect == "ok" and not one.eof]
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        compared = 0
        for case in found:
            seen = len(calls_in(log)) if log.exists() else 0
            await permitted(b, case.id, case.pieces, calls=case.calls)
            sent = [raw for raw in calls_in(log)[seen:] if b'"name":' not in raw]
            wanted = arguments_of(case.raw)
            assert len(calls_in(log)) == seen + case.calls, case.id
            if len(sent) == len(wanted):
                assert sent == wanted, case.id
                compared += 1
    assert compared > 150


@pytest.mark.parametrize("case", [one for one in cases("line", "message") if one.eof], ids=lambda one: one.id)
async def test_g9_half_a_message_at_the_end_is_refused_and_never_run(case: Case, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        await b.call("echo__echo", {"text": "first"})
        seen = len(calls_in(log))
        with b.daemon.holding(Malformed) as held:
            for piece in case.pieces:
                await b.send(piece)
            b.close_input()
            if case.expect != "ok":
                one = await held.next()
                assert one.ask.code == case.expect
                one.answer(b.daemon.answer(one.ask))
        lines = [json.loads(line) for line in await b.finish()]
        assert len(calls_in(log)[seen:]) <= case.calls
        if case.expect != "ok":
            assert [code_of(line) for line in lines if "error" in line] == [case.expect]
            assert b.daemon.count(Malformed) == 1


@pytest.mark.parametrize("case", [one for one in cases("method") if one.id in SILENT], ids=lambda one: one.id)
async def test_a159_a_request_in_the_form_of_a_notification_is_not_run_and_not_answered(
    case: Case, tmp_path: Path
) -> None:
    async with bench(tmp_path, echo(era="legacy", log=tmp_path / "log")) as b:
        await b.send(case.raw)
        assert await settle(b) == []
        assert b.daemon.count(Decide) == 0
        if b"tools/call" in case.raw:
            assert (await b.daemon.asked(Malformed)).code == "bad-id"
    assert calls_in(tmp_path / "log") == []


# --- G1 -----------------------------------------------------------------------------------------------------

ROWS = [json.loads(line) for line in G1.read_text(encoding="ascii").splitlines()]
STDIO = [row for row in ROWS if "stdio" not in row.get("not_on", ())]


def document(row: dict[str, Any]) -> bytes:
    return zlib.decompress(b64decode(row["zlib_b64"])) if "zlib_b64" in row else b64decode(row["bytes_b64"])


def line_of(row: dict[str, Any]) -> bytes:
    raw = document(row)
    return (HEAD + raw + b"}}" if row["place"] == "arguments" else raw) + b"\n"


async def test_g1_each_refused_document_gets_one_named_error_and_nothing_of_it_goes_further(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    found = [row for row in STDIO if row["expect"] != "ok"]
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        await b.call("echo__echo", {"text": "first"})
        for row in found:
            raw = line_of(row)
            code = "bare-return" if b"\r" in raw.rstrip(b"\r\n") else row["expect"]
            await refused(b, row["id"], [raw], code)
        await b.call("echo__echo", {"text": "last"})
        assert calls_in(log) == [b'{"text":"first"}', b'{"text":"last"}']
    assert len(found) > 100


async def test_g1_each_accepted_document_arrives_in_its_one_canonical_form(tmp_path: Path) -> None:
    log = tmp_path / "log"
    found = [row for row in STDIO if row["expect"] == "ok" and row["place"] == "arguments"]
    async with bench(tmp_path, echo(era="legacy", log=log)) as b:
        tried = 0
        for row in found:
            raw, value = line_of(row), parse_document(document(row))
            if not isinstance(value, dict) or len(raw) > 1_048_577 or b"\r" in raw:
                continue
            await permitted(b, row["id"], [raw], calls=1)
            assert calls_in(log)[-1] == canonical(value), row["id"]
            if "canonical_b64" in row:
                assert calls_in(log)[-1] == b64decode(row["canonical_b64"])
            tried += 1
    assert tried > 100
