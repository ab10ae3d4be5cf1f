"""The corpus G9 over the HTTP front, in both eras: what is sent to it, and what was written for a pipe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from taskbound.core.action.parse import parse_document
from taskbound.core.errors import TaskboundError
from taskbound.wire.action import Decide, Malformed
from taskbound.wire.mcp.message import MODERN
from tests.corpus.g9 import Case, cases, in_modern, rows
from tests.peers.commands import echo
from tests.surfaces.gateway.http.fronting import META, OTHER, TOKEN, Answer, Near, near
from tests.surfaces.gateway.test_corpus import SILENT, arguments_of, calls_in

pytestmark = pytest.mark.anyio

Row = Mapping[str, Any]
Era = Literal["legacy", "modern"]
CALL = {"name": "echo__echo", "arguments": {"text": "a"}}
LEGACY = (
    b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo__echo","arguments":{"text":"a"}}}'
)
LARGEST = 1_048_576


# --- what is sent to the front ------------------------------------------------------------------------------


async def request_of(there: Near, row: Row) -> bytes:
    """The bytes of a row; of a session there is one, of the first token."""
    change = row["change"]
    names = {"port": there.port, "token": TOKEN, "other": OTHER}
    if "{session}" in str(change):
        names["session"] = await there.initialize(TOKEN)

    def filled(text: str) -> str:
        for name, value in names.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    token = OTHER if change.get("token") == "other" else TOKEN
    headers: dict[str, Any] = {
        name.replace("-", "_"): filled(text) for name, text in change.get("headers", {}).items()
    }
    headers |= {name: filled(change[name]) for name in ("verb", "path") if name in change}
    if "without" in change:
        headers["without"] = tuple(change["without"])
    match row["base"]:
        case "call":
            raw = there.calling(token, "echo__echo", {"text": "a"}, **headers)
        case "legacy":
            raw = there.raw(token, LEGACY, MCP_Protocol_Version="2025-11-25", **headers)
        case _:
            raw = there.raw(token, b"", **headers)
    again = filled(change.get("again", "")).encode()
    return raw.replace(b"\r\n\r\n", b"\r\n" + again + b"\r\n\r\n", 1) if again else raw


async def test_g9_what_is_sent_to_the_front_is_refused_by_name_and_its_twin_is_served(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with near(tmp_path, echo(log=log)) as there:
        for row in rows("g9-front"):
            raw = await request_of(there, row)
            decided, reported = there.daemon.count(Decide), len(there.refused)
            found = await there.send(raw)
            code = found.code if found.headers.get("content-type") == "application/json" else ""
            assert (found.status, code or "ok") == (row["status"], row["expect"]), row["id"]
            assert there.refused[reported:] == [row["expect"]] * row["recorded"], row["id"]
            calls = row["expect"] == "ok" and row["base"] != "empty"
            assert there.daemon.count(Decide) - decided == calls, row["id"]
            assert TOKEN.partition(".")[2] not in found.body.decode(), row["id"]
        assert len(calls_in(log)) == there.daemon.count(Decide)


# --- what was written for a pipe ----------------------------------------------------------------------------

Post = Callable[[bytes], Awaitable[Answer]]


def bodies(era: Era, *, refused: bool) -> list[tuple[Case, bytes]]:
    """The lines of the corpus that are one message, as bodies of this era."""
    found: list[tuple[Case, bytes]] = []
    for case in cases("message", "method", "name"):
        raw = case.raw.rstrip(b"\n")
        if case.eof or (case.expect != "ok") is not refused or case.id in SILENT or b"\n" in raw:
            continue
        raw = in_modern(raw) if era == "modern" else raw
        if raw and len(raw) <= LARGEST:
            found.append((case, raw))
    return found


async def poster(there: Near, era: Era) -> Post:
    """What posts a body as a client of this era that calls a tool."""
    session = await there.initialize(TOKEN) if era == "legacy" else ""

    async def post(body: bytes) -> Answer:
        headers: dict[str, Any] = {"MCP_Protocol_Version": "2025-11-25", "Mcp_Session_Id": session}
        if era == "modern":
            name = named(body)
            headers = {"MCP_Protocol_Version": MODERN, "Mcp_Method": method_of(body)}
            headers |= {"Mcp_Name": name} if name else {}
        return await there.send(there.raw(TOKEN, body, **headers))

    return post


def params_of(body: bytes) -> dict[str, Any]:
    """The parameters, by a strict reading; none where it can't be read."""
    try:
        message = parse_document(body)
    except TaskboundError:
        return {}
    found = message.get("params") if isinstance(message, dict) else None
    return found if isinstance(found, dict) else {}


def named(body: bytes) -> str:
    """What `Mcp-Name` says of a call, as far as a header can say it."""
    name = params_of(body).get("name", "echo__echo")
    return (
        name
        if isinstance(name, str) and name.isascii() and name.isprintable() and name == name.strip()
        else ""
    )


def method_of(body: bytes) -> str:
    """What `Mcp-Method` says."""
    try:
        message = parse_document(body)
    except TaskboundError:
        return "tools/call"
    method = message.get("method") if isinstance(message, dict) else None
    fits = isinstance(method, str) and method.isascii() and method.isprintable() and method == method.strip()
    return str(method) if fits and method else "tools/call"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_g9_each_refused_line_is_refused_as_a_body_and_nothing_of_it_goes_further(
    tmp_path: Path, era: Era
) -> None:
    log = tmp_path / "log"
    async with near(tmp_path, echo(log=log)) as there:
        post = await poster(there, era)
        found = bodies(era, refused=True)
        for case, body in found:
            if case.expect == "unknown-tool":
                continue  # the daemon's to say, and decided
            reported = len(there.refused)
            answer = await post(body)
            # A header can't say some of these names and methods, and then differs from the body.
            assert answer.code in {case.expect, "header-mismatch"}, (case.id, answer)
            assert there.daemon.count(Decide) == 0, case.id
            if b"tools/call" in body and case.expect != "unknown-method":
                assert there.refused[reported:] == [answer.code], case.id
        assert len(found) > {"legacy": 130, "modern": 80}[era]
        assert (await there.call(TOKEN, "echo__echo", {"text": "last"})).text == "last"
        assert calls_in(log) == [b'{"text":"last"}']


@pytest.mark.timeout(180)
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_g9_each_twin_is_served_as_a_body_and_its_arguments_arrive_byte_for_byte(
    tmp_path: Path, era: Era
) -> None:
    log = tmp_path / "log"
    async with near(tmp_path, echo(log=log)) as there:
        post = await poster(there, era)
        compared = 0
        for case, body in bodies(era, refused=False):
            if case.calls != 1 or b'"id":' not in body:
                continue
            seen = len(calls_in(log)) if log.exists() else 0
            answer = await post(body)
            assert (answer.status, answer.code) == (200, ""), (case.id, answer)
            assert calls_in(log)[seen:] == arguments_of(body), case.id
            compared += 1
        assert compared > {"legacy": 120, "modern": 80}[era]
        assert there.daemon.count(Malformed) == 0


def test_a_line_in_the_words_of_the_modern_era_names_its_revision() -> None:
    for _, body in bodies("modern", refused=False):
        assert MODERN.encode() in body
    assert META["io.modelcontextprotocol/protocolVersion"] == MODERN
