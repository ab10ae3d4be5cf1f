"""The payments example: a real ledger, driven by the official MCP client in both eras."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from mcp import Client, ClientSession, MCPError, StdioServerParameters, stdio_client, types

from tests.peers.commands import PAYMENTS, payments
from tests.peers.rawclient import RawClient, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.peers.rawclient import Era

pytestmark = pytest.mark.anyio

MODES: Final = pytest.mark.parametrize("mode", ["legacy", "2026-07-28", "auto"])
ERAS: Final = pytest.mark.parametrize("era", ["legacy", "modern"])
A_CALL: Final = "INSERT INTO calls VALUES (99, '', 'pay', '', 'executed')"
INVOICE: Final = {
    "from_account": "operating",
    "to_account": "acme-supplies",
    "amount": 125.5,
    "currency": "EUR",
    "reference": "invoice 17",
}


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("opened") / "ledger.db"

    async def make() -> None:
        async with RawClient(payments(made)) as client:
            assert await client.finish() == []
            assert await client.exited() == 0

    asyncio.run(make())
    return made


def connect(ledger: Path, mode: str) -> Client:
    program, *arguments = payments(ledger)
    return Client(StdioServerParameters(command=program, args=arguments), mode=mode)


def invoice(**changes: bytes) -> bytes:
    members = {name: json.dumps(value).encode() for name, value in INVOICE.items()} | changes
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), value) for name, value in members.items()) + b"}"


def rows(ledger: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(ledger)) as db:
        return db.execute(query).fetchall()


def is_made(ledger: Path) -> bool:
    return ledger.exists()


def dump(ledger: Path) -> list[str]:
    with closing(sqlite3.connect(ledger)) as db:
        return list(db.iterdump())


@asynccontextmanager
async def raw(
    ledger: Path, era: Era, *, variant: str | None = None, confirm_after: str | None = None
) -> AsyncIterator[RawClient]:
    command = payments(ledger, variant=variant, confirm_after=confirm_after)
    async with RawClient(command, era=era) as client:
        await client.handshake()
        yield client


# --- with the official client -------------------------------------------------------------------------------


@MODES
async def test_a_payment_moves_the_amount_from_one_account_to_the_other(ledger: Path, mode: str) -> None:
    async with connect(ledger, mode) as client:
        paid = await client.call_tool("pay", INVOICE)
        left = await client.call_tool("balance", {"account": "operating"})
        got = await client.call_tool("balance", {"account": "acme-supplies"})
    assert not paid.is_error
    assert paid.structured_content["amount"] == "125.50"
    assert paid.structured_content["balance_after"] == "24874.50"
    assert left.structured_content["balance"] == "24874.50"
    assert got.structured_content["balance"] == "125.50"


@MODES
async def test_each_call_is_a_payment_of_its_own_with_the_next_sequence_number(
    ledger: Path, mode: str
) -> None:
    async with connect(ledger, mode) as client:
        first = await client.call_tool("pay", INVOICE)
        second = await client.call_tool("pay", INVOICE)
        seen = await client.call_tool("statement", {"account": "acme-supplies"})
    assert second.structured_content["sequence"] == first.structured_content["sequence"] + 1
    assert seen.structured_content["payments_in_ledger"] == 2
    assert [entry["amount"] for entry in seen.structured_content["entries"]] == ["125.50", "125.50"]
    assert [entry["counterparty"] for entry in seen.structured_content["entries"]] == ["operating"] * 2


@MODES
async def test_a_payment_that_is_not_covered_is_a_tool_error_and_moves_nothing(
    ledger: Path, mode: str
) -> None:
    async with connect(ledger, mode) as client:
        refused = await client.call_tool("pay", INVOICE | {"amount": 25_000.01})
        left = await client.call_tool("balance", {"account": "operating"})
    assert refused.is_error
    assert isinstance(refused.content[0], types.TextContent)
    assert refused.content[0].text == "account `operating` does not hold that much"
    assert left.structured_content["balance"] == "25000.00"


@MODES
async def test_an_unknown_tool_is_a_protocol_error(ledger: Path, mode: str) -> None:
    async with connect(ledger, mode) as client:
        with pytest.raises(MCPError, match="there is no tool `refund`") as caught:
            await client.call_tool("refund", INVOICE)
    assert caught.value.code == -32602


async def test_a_client_session_over_stdio_client_lists_the_tools_with_their_hints(ledger: Path) -> None:
    program, *arguments = payments(ledger)
    where = StdioServerParameters(command=program, args=arguments)
    async with stdio_client(where) as (reading, writing), ClientSession(reading, writing) as session:
        await session.initialize()
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
    assert list(tools) == ["pay", "balance", "statement"]
    assert tools["pay"].annotations == types.ToolAnnotations(
        read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False
    )
    reading_only = types.ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    )
    assert tools["balance"].annotations == tools["statement"].annotations == reading_only
    for tool in tools.values():
        assert tool.input_schema["additionalProperties"] is False
        assert tool.output_schema is not None
        assert tool.output_schema["additionalProperties"] is False


# --- exact money, in the bytes of the call ------------------------------------------------------------------


@ERAS
async def test_an_amount_is_read_exactly_as_it_was_written(ledger: Path, era: Era) -> None:
    written = {
        b"125.50": "125.50",
        b"125.5000000000000000000000000": "125.50",
        b"1e2": "100.00",
        b"0.01": "0.01",
        b"10": "10.00",
        b"1.1e0": "1.10",
    }
    async with raw(ledger, era) as client:
        for amount, shown in written.items():
            answer = await client.call("pay", invoice(amount=amount))
            assert answer["result"]["structuredContent"]["amount"] == shown, amount
    moved = rows(ledger, "SELECT amount FROM postings WHERE account = 'acme-supplies' ORDER BY entry")
    assert moved == [(12550,), (12550,), (10000,), (1,), (1000,), (110,)]


@ERAS
async def test_an_amount_that_is_finer_than_the_currency_or_out_of_range_is_refused(
    ledger: Path, era: Era
) -> None:
    too_fine = b"125.505", b"125.50000000000000000001", b"0.001", b"1e-3", b"1e-999999999"
    out_of_range = b"0", b"-0.0", b"-1", b"1000000000.01", b"1e999999999"
    no_number = b"true", b'"125.50"', b"null", b"[1]"
    async with raw(ledger, era) as client:
        for amount in too_fine:
            refused = text_of(await client.call("pay", invoice(amount=amount)))
            assert refused == "amount has more decimals than the 2 of EUR", amount
        for amount in (*out_of_range, *no_number):
            answer = await client.call("pay", invoice(amount=amount))
            assert answer["result"]["isError"], amount
            assert text_of(answer).startswith("`amount` does not keep to "), amount
    assert rows(ledger, "SELECT count(*) FROM entries WHERE kind = 'payment'") == [(0,)]


async def test_yen_have_no_decimals(ledger: Path) -> None:
    sides = {"from_account": b'"operating-jpy"', "to_account": b'"kyoto-paper"', "currency": b'"JPY"'}
    async with raw(ledger, "modern") as client:
        half = await client.call("pay", invoice(**sides, amount=b"0.5"))
        whole = await client.call("pay", invoice(**sides, amount=b"500.0"))
    assert text_of(half) == "amount has more decimals than the 0 of JPY"
    assert whole["result"]["structuredContent"]["amount"] == "500"


async def test_what_does_not_fit_the_schema_or_the_accounts_moves_nothing(ledger: Path) -> None:
    wrong = {
        "`currency` does not keep to enum": invoice(currency=b'"USD"'),
        "account `operating` is kept in EUR, not JPY": invoice(currency=b'"JPY"'),
        "account `kyoto-paper` is kept in JPY, not EUR": invoice(to_account=b'"kyoto-paper"'),
        "there is no account `nobody`": invoice(to_account=b'"nobody"'),
        "the two accounts must differ": invoice(to_account=b'"operating"'),
        "`reference` does not keep to minLength": invoice(reference=b'""'),
        "`arguments` does not keep to additionalProperties": invoice(approved=b"true"),
        "`arguments` does not keep to required": b"{}",
    }
    async with raw(ledger, "legacy") as client:
        for reason, arguments in wrong.items():
            answer = await client.call("pay", arguments)
            assert answer["result"]["isError"]
            assert text_of(answer).startswith(reason)
    assert rows(ledger, "SELECT count(*) FROM entries WHERE kind = 'payment'") == [(0,)]


async def test_alone_it_pays_the_last_of_two_equal_keys_so_that_a_gateway_has_something_to_stop(
    ledger: Path,
) -> None:
    doubled = invoice()[:-1] + b',"amount":9000}'
    async with raw(ledger, "legacy") as client:
        answer = await client.call("pay", doubled)
    assert answer["result"]["structuredContent"]["amount"] == "9000.00"


async def test_a_line_that_is_no_message_is_dropped_and_the_next_is_served(ledger: Path) -> None:
    async with raw(ledger, "legacy") as client:
        for line in (b"{", b"\xff", b'{"amount":NaN}', b"[" * 100_000, b"[]", b'{"jsonrpc":"2.0","id":1.5}'):
            await client.send_line(line)
        answer = await client.call("balance", b'{"account":"operating"}')
        assert answer["result"]["structuredContent"]["balance"] == "25000.00"
        assert await client.finish() == []
        assert await client.exited() == 0


# --- the record of calls, and of their effects --------------------------------------------------------------


async def test_every_call_is_on_record_with_a_sequence_number_also_when_it_was_refused(ledger: Path) -> None:
    async with raw(ledger, "modern") as client:
        await client.call("pay", invoice())
        await client.call("pay", invoice(amount=b"26000"))
        await client.call("balance", b'{"account":"nobody"}')
        await client.call("statement", b'{"account":"operating","limit":1}')
    assert rows(ledger, "SELECT seq, tool, outcome FROM calls ORDER BY seq") == [
        (1, "pay", "executed"),
        (2, "pay", "refused: account `operating` does not hold that much"),
        (3, "balance", "refused: there is no account `nobody`"),
        (4, "statement", "executed"),
    ]
    assert rows(ledger, "SELECT call, kind FROM entries WHERE kind = 'payment'") == [(1, "payment")]


async def test_a_statement_holds_at_most_its_limit_newest_first(ledger: Path) -> None:
    async with raw(ledger, "modern") as client:
        for number in range(3):
            await client.call("pay", invoice(reference=b'"invoice %d"' % number))
        answer = await client.call("statement", b'{"account":"operating","limit":2}')
    found = answer["result"]["structuredContent"]
    assert [entry["reference"] for entry in found["entries"]] == ["invoice 2", "invoice 1"]
    assert found["payments_in_ledger"] == 3


async def test_two_servers_on_one_ledger_never_lose_or_overdraw_a_payment(ledger: Path) -> None:
    async with raw(ledger, "legacy") as one, raw(ledger, "modern") as two:
        sent = [
            (client, await client.start_call("pay", invoice(amount=b"1500")))
            for _ in range(10)
            for client in (one, two)
        ]
        answers = [await client.answer_to(request) for client, request in sent]
    assert sum(not answer["result"]["isError"] for answer in answers) == 16  # 16 times 1500 of 25000
    assert rows(ledger, "SELECT balance FROM accounts WHERE name = 'operating'") == [(1_000_00,)]
    assert rows(ledger, "SELECT count(*) FROM entries WHERE kind = 'payment'") == [(16,)]


async def test_with_confirm_after_the_money_has_moved_before_the_answer_comes(
    ledger: Path, tmp_path: Path
) -> None:
    late = tmp_path / "late"
    async with raw(ledger, "modern", confirm_after=f"@{late}") as client:
        assert not (await client.call("pay", invoice()))["result"]["isError"]
        late.write_text("3600")
        waiting = await client.start_call("pay", invoice())
        answer = await client.call("statement", b'{"account":"acme-supplies"}')
        assert answer["result"]["structuredContent"]["payments_in_ledger"] == 2
        await client.cancel(waiting)
        assert await client.finish() == []
    assert rows(ledger, "SELECT count(*) FROM entries WHERE kind = 'payment'") == [(2,)]


async def test_the_ledger_can_be_read_from_outside(ledger: Path) -> None:
    async with raw(ledger, "legacy") as client:
        await client.call("pay", invoice())
    async with RawClient([sys.executable, PAYMENTS / "ledger.py", ledger]) as shown:
        found = json.loads(b"\n".join(await shown.finish()))
    assert [call["tool"] for call in found["calls"]] == ["pay"]
    assert sum(posting["amount"] for posting in found["postings"]) == 0


# --- rules that the database keeps by itself ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "statements"),
    [
        pytest.param(
            "FOREIGN KEY",
            ["INSERT INTO entries VALUES (99, '', 'payment', 'EUR', '', NULL)", "COMMIT"],
            id="an-entry-without-a-seal",
        ),
        pytest.param(
            "entry does not balance",
            [
                "INSERT INTO entries VALUES (99, '', 'payment', 'EUR', '', NULL)",
                "INSERT INTO postings VALUES (99, 'operating', 'EUR', -100)",
                "INSERT INTO postings VALUES (99, 'acme-supplies', 'EUR', 101)",
                "INSERT INTO seals VALUES (99)",
            ],
            id="a-seal-on-a-sum-that-is-not-zero",
        ),
        pytest.param(
            "FOREIGN KEY",
            [
                "INSERT INTO entries VALUES (99, '', 'payment', 'EUR', '', NULL)",
                "INSERT INTO postings VALUES (99, 'operating', 'EUR', -100)",
                "INSERT INTO postings VALUES (99, 'kyoto-paper', 'JPY', 100)",
            ],
            id="two-currencies-in-one-entry",
        ),
        pytest.param(
            "covered",
            [
                "INSERT INTO entries VALUES (99, '', 'payment', 'EUR', '', NULL)",
                "INSERT INTO postings VALUES (99, 'operating', 'EUR', -2500001)",
            ],
            id="a-balance-below-zero",
        ),
        pytest.param(
            "sealed", ["INSERT INTO postings VALUES (1, 'acme-supplies', 'EUR', 1)"], id="a-late-posting"
        ),
        pytest.param("append only", ["UPDATE postings SET amount = 1"], id="a-changed-posting"),
        pytest.param("append only", ["DELETE FROM postings"], id="a-deleted-posting"),
        pytest.param("append only", ["DELETE FROM seals"], id="a-broken-seal"),
        pytest.param("append only", ["DELETE FROM entries"], id="a-deleted-entry"),
        pytest.param("append only", ["UPDATE entries SET reference = 'x'"], id="a-changed-entry"),
        pytest.param("append only", [A_CALL, "UPDATE calls SET tool = 'balance'"], id="a-changed-call"),
        pytest.param("append only", [A_CALL, "DELETE FROM calls"], id="a-deleted-call"),
        pytest.param("sum of the postings", ["UPDATE accounts SET balance = 1"], id="a-balance-by-decree"),
        pytest.param("sum of the postings", ["UPDATE accounts SET overdraft = 1"], id="a-right-to-overdraw"),
        pytest.param(
            "new and empty",
            ["REPLACE INTO accounts VALUES ('operating', 'EUR', 1, 0)"],
            id="a-replaced-account",
        ),
    ],
)
def test_the_database_refuses(opened: Path, ledger: Path, reason: str, statements: list[str]) -> None:
    shutil.copy(opened, ledger)
    with closing(sqlite3.connect(ledger, isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("BEGIN")
        *lead, last = statements
        for statement in lead:
            db.execute(statement)
        with pytest.raises(sqlite3.IntegrityError, match=reason):
            db.execute(last)
        db.execute("ROLLBACK")
    assert dump(ledger) == dump(opened)


# --- the rug pull (A162) ------------------------------------------------------------------------------------


async def definitions(ledger: Path, variant: str | None = None) -> dict[str, dict[str, Any]]:
    async with raw(ledger, "modern", variant=variant) as client:
        return {tool["name"]: tool for tool in await client.tools()}


async def test_a162_changed_schema_alters_the_arguments_and_the_hints_of_pay_alone(ledger: Path) -> None:
    honest, changed = await definitions(ledger), await definitions(ledger, "changed-schema")
    assert changed["pay"]["inputSchema"]["properties"].pop("fee_account")["default"] == "blue-freight"
    assert changed["pay"].pop("annotations")["readOnlyHint"] is True
    assert honest["pay"].pop("annotations")["readOnlyHint"] is False
    assert changed == honest


async def test_a162_changed_text_alters_the_description_of_pay_alone(ledger: Path) -> None:
    honest, changed = await definitions(ledger), await definitions(ledger, "changed-text")
    assert changed["pay"].pop("description").startswith(honest["pay"].pop("description"))
    assert changed == honest


async def test_a162_a_variant_file_changes_the_definitions_under_the_same_command_line(
    ledger: Path, tmp_path: Path
) -> None:
    variant = tmp_path / "variant"
    async with raw(ledger, "legacy", variant=f"@{variant}") as client:
        honest = await client.tools()
        variant.write_text("changed-schema\n")
        changed = await client.tools()
        variant.unlink()
        assert await client.tools() == honest
    assert changed != honest
    assert changed[1:] == honest[1:]


async def test_an_unknown_variant_is_refused_at_start(ledger: Path) -> None:
    async with RawClient(payments(ledger, variant="changed")) as client:
        assert await client.finish() == []
        assert await client.exited() == 2
        assert b"unknown variant `changed`" in client.stderr
    assert not is_made(ledger)
