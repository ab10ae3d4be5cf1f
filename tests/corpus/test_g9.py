"""The corpus G9 is sound: its cases are what they say, and its twins are harmless."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from taskbound.core.errors import MalformedError
from taskbound.core.tool import parse_tool_name, require_distinct
from taskbound.wire.mcp.message import LineCutter, Refused, Request, parse_message
from tests.corpus.g9 import Case, cases
from tests.peers.commands import echo, faulty
from tests.peers.rawclient import EndOfOutputError, speaking

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LAYERS: Final = {"line", "message", "method", "session", "name", "names", "upstream", "upstream-session"}
LIMIT: Final = 1 << 20


def identified(found: Sequence[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", found, ids=[case.id for case in found])


def lines_of(pieces: Sequence[bytes], *, eof: bool) -> list[bytes | Refused]:
    cutter = LineCutter(LIMIT)
    lines = [line for piece in pieces for line in cutter.feed(piece)]
    rest = cutter.finish() if eof else None
    return lines + ([rest] if rest is not None else [])


def code_of(lines: Sequence[bytes | Refused]) -> str:
    for line in lines:
        if isinstance(line, Refused):
            return line.error.code
        try:
            parse_message(line)
        except MalformedError as error:
            return error.code
    return "ok"


# --- the file -----------------------------------------------------------------------------------------------


def test_each_id_stands_once_and_each_layer_is_known() -> None:
    found = cases()
    assert len({case.id for case in found}) == len(found)
    assert {case.layer for case in found} == LAYERS


def test_each_refused_case_has_one_twin_of_its_layer_that_is_ok() -> None:
    by_id = {case.id: case for case in cases()}
    twins = [case for case in by_id.values() if case.twin_of]
    assert sorted(twin.twin_of for twin in twins) == sorted(
        one.id for one in by_id.values() if one.expect != "ok"
    )
    for twin in twins:
        assert twin.expect == "ok", twin.id
        assert twin.layer == by_id[twin.twin_of].layer, twin.id


def test_no_twin_is_what_its_case_is() -> None:
    by_id = {case.id: case for case in cases()}
    for twin in by_id.values():
        if twin.twin_of:
            case = by_id[twin.twin_of]
            assert (twin.parts, twin.fault, twin.names) != (case.parts, case.fault, case.names), twin.id


@pytest.mark.parametrize("group", ["A158", "A159", "A160", "A161", "A163", "FRAME"])
def test_each_number_of_the_outline_has_cases(group: str) -> None:
    assert any(case.id.startswith(group) for case in cases())


# --- what the reading layers say ----------------------------------------------------------------------------


@identified(cases("line", "message"))
def test_a_line_gets_the_one_code_that_the_corpus_names(case: Case) -> None:
    assert code_of(lines_of(case.pieces, eof=case.eof)) == case.expect


@identified(cases("method", "session", "name"))
def test_what_a_later_layer_must_answer_gets_through_the_reading_layers(case: Case) -> None:
    assert code_of(lines_of(case.pieces, eof=case.eof)) == "ok"


@identified([case for case in cases("line", "message") if case.expect == "ok"])
def test_a_line_is_the_same_however_it_is_cut(case: Case) -> None:
    raw = case.raw
    whole = lines_of([raw], eof=case.eof)
    assert lines_of(case.pieces, eof=case.eof) == whole
    if len(raw) < 1_000:
        assert lines_of([raw[at : at + 1] for at in range(len(raw))], eof=case.eof) == whole


def code_of_names(names: Sequence[str]) -> str:
    try:
        for name in names:
            parse_tool_name(name)
        require_distinct(names)
    except MalformedError as error:
        return error.code
    return "ok"


@identified(cases("name"))
def test_a163_a_name_gets_the_one_code_that_the_corpus_names(case: Case) -> None:
    message = parse_message(case.raw.rstrip(b"\n"))
    assert isinstance(message, Request)
    name = message.params["name"]
    assert isinstance(name, str)
    assert code_of_names([name]) == case.expect


@identified(cases("names"))
def test_a163_a_list_of_names_gets_the_one_code_that_the_corpus_names(case: Case) -> None:
    assert code_of_names(case.names) == case.expect


# --- what real peers say ------------------------------------------------------------------------------------


@pytest.mark.anyio
@identified([case for case in cases("line", "message", "method", "session", "name") if case.expect == "ok"])
async def test_a_twin_is_harmless_to_a_real_server(case: Case, tmp_path: Path) -> None:
    tools, log = tmp_path / "tools.json", tmp_path / "log"
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    write(tools, json.dumps([{"name": "echo__echo", "inputSchema": schema}]).encode())
    async with speaking(echo(tools=tools, log=log)) as client:
        for piece in case.pieces:
            await client.send(piece)
        answers = [json.loads(line) for line in await client.finish()]
    assert [answer for answer in answers if "error" in answer] == []
    assert (
        sum(b"tools\\/call" in line or b"tools/call" in line for line in read(log).split(b"\n")) >= case.calls
    )
    assert read(log).endswith(case.raw)


def write(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)


def read(path: Path) -> bytes:
    return path.read_bytes()


@pytest.mark.anyio
@identified(cases("upstream", "upstream-session"))
async def test_a161_an_upstream_does_what_the_corpus_says(case: Case) -> None:
    async with speaking(faulty(case.fault, n=case.n)) as client:
        for _ in range(2 if case.fault == "answers-in-reverse" else 1):
            await client.start_call("work", b'{"text":"hello"}')
        await client.close_input()
        with pytest.raises(EndOfOutputError) as end:
            await client.read_bytes(1 << 40)
    code = code_of(lines_of([end.value.rest], eof=True))
    assert code == ("ok" if case.layer == "upstream-session" else case.expect)
