"""Steps 1 to 4: calls that the task permits, and calls that it refuses."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from taskbound.core.audit import ActionRefusedMalformed
from taskbound.surfaces.cli.demo.books import read_books
from taskbound.surfaces.cli.demo.raw import RawClient
from taskbound.surfaces.cli.demo.report import Tried
from taskbound.surfaces.cli.demo.world import words_of
from taskbound.surfaces.cli.screen import shown
from taskbound.wire.tool import ListTools, ToolRows

if TYPE_CHECKING:
    from taskbound.core.action import JsonValue
    from taskbound.core.audit import Event
    from taskbound.surfaces.cli.demo.scene import Scene
    from taskbound.surfaces.cli.demo.world import World


_PAY: Final = "payments__pay"
_TOTAL: Final = Decimal(1000)
_ORDER: Final = "Assistant:"
_PARSE_ERROR: Final = -32700
_TWICE: Final = (
    b'{"from_account":"operating","to_account":"acme-supplies","amount":1,"amount":250,'
    b'"currency":"EUR","reference":"invoice 2041 twice"}'
)
_PARTS: Final = (
    (250, True),
    (250, True),
    (240, True),
    (250, False),
    (10.01, False),
    (10, True),
    (0.01, False),
)
"""Amounts that are paid behind a first one of 250, and whether they fit into what is left of 1000."""


def payment(account: str, amount: float, reference: str) -> dict[str, JsonValue]:
    """Return the arguments of a payment from the operating account."""
    return {
        "from_account": "operating",
        "to_account": account,
        "amount": amount,
        "currency": "EUR",
        "reference": reference,
    }


def require(scene: Scene, tried: Tried, decision: str, code: str = "") -> None:
    """Fail the step unless the daemon decided this with this code."""
    told = f"{tried.decision} {tried.code}".strip()
    wanted = f"{decision} {code}".strip()
    scene.require(f"the decision is `{wanted}`, not `{told}`", holds=told == wanted)


async def permitted(world: World, scene: Scene) -> None:
    """Show that the task's calls succeed, and that only its tools are listed."""
    repository: JsonValue = str(world.repository)
    offered = await (await world.connect()).tools()
    pinned = world.client.ask(ListTools(), ToolRows).rows
    scene.says("reach", f"{len(pinned)} tools are pinned; the agent is shown {', '.join(offered)}")
    scene.require("fewer tools are shown than pinned", holds=0 < len(offered) < len(pinned))
    tried, answer = await world.call(scene, "git__git_status", {"repo_path": repository})
    require(scene, tried, "permit")
    scene.proves("the server's answer says `On branch main`", holds="On branch main" in answer.text)
    tried, answer = await world.call(scene, "git__git_log", {"repo_path": repository, "max_count": 5})
    require(scene, tried, "permit")
    world.log = answer.text
    scene.proves(
        f"the answer names all {len(world.commits)} commits, such as {world.commits[-1][:12]}…",
        holds=all(one in answer.text for one in world.commits),
    )
    order = payment("acme-supplies", 250, "invoice 2041 part 1")
    tried, answer = await world.call(scene, _PAY, order)
    require(scene, tried, "permit")
    world.paid = tried.action
    entries = world.books().named("invoice 2041 part 1")
    told = answer.structured if isinstance(answer.structured, dict) else {}
    scene.proves(
        "the ledger holds this payment once, under the number that the agent got",
        holds=len(entries) == 1 and entries[0].sequence == told.get("sequence"),
    )
    replay = world.watch.replay(tried.action)
    scene.proves(f"computed again from its record, the decision is the {replay}", holds=replay == "same")


async def refused(world: World, scene: Scene) -> None:
    """Show that arguments outside the task are refused when the agent follows an injected instruction."""
    orders = [one.strip() for one in world.log.splitlines() if _ORDER in one]
    scene.require("the log gives the agent orders", holds=bool(orders))
    scene.says("reads", shown(orders[0]))
    before = world.books()
    order: dict[str, JsonValue] = {
        "from_account": "operating-jpy",
        "to_account": "kyoto-paper",
        "amount": 900_000,
        "currency": "JPY",
        "reference": "invoice \x1b[2K\u202e9999",
    }
    tried, _ = await world.call(scene, _PAY, order)
    require(scene, tried, "refuse", "outside-scope")
    tried, answer = await world.call(scene, "git__git_log", {"repo_path": str(world.private)})
    require(scene, tried, "refuse", "outside-scope")
    scene.proves(
        "the answer names no commit of that repository",
        holds=answer.error and not any(one in answer.text for one in world.payroll),
    )
    after = world.books()
    scene.proves(
        f"the payments server has executed {after.calls} call, as before: nothing reached it",
        holds=after == before,
    )


async def duplicate_key(world: World, scene: Scene) -> None:
    """Show that a message with the amount twice is refused: readers disagree about which one counts."""
    before, start = world.books(), world.watch.size()
    line = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s","arguments":%s}}\n'
    pairs: list[tuple[str, JsonValue]] = json.loads(_TWICE, object_pairs_hook=list)
    scene.trying(_PAY, words_of(pairs))
    async with RawClient(world.gateway, errors=world.errors) as client:
        answer = await client.ask(line % (_PAY.encode(), _TWICE), None)
    error = answer.get("error")
    found = world.watch.find(start, _is_malformed)
    if not isinstance(error, dict) or not isinstance(found, ActionRefusedMalformed):
        scene.require("the gateway answers with an error, and the log has a record of it", holds=False)
        return
    tried = Tried(
        tool=_PAY,
        arguments=_TWICE.decode(),
        decision="malformed",
        code=found.code,
        reasons=(str(error.get("message")),),
        grant="",
        policies=(),
        action="",
        state="",
        told=str(error.get("message")),
    )
    scene.tried(tried)
    require(scene, tried, "malformed", "duplicate-key")
    scene.require("it is answered as a parse error", holds=error.get("code") == _PARSE_ERROR)
    scene.says("record", f"{found.size} bytes with SHA-256 {found.digest[:16]}…, and no action")
    scene.proves("the payments server was sent nothing", holds=world.books() == before)
    await _without(world, scene, line % (b"pay", _TWICE))


def _is_malformed(event: Event) -> bool:
    return isinstance(event, ActionRefusedMalformed)


async def _without(world: World, scene: Scene, sent: bytes) -> None:
    ledger = world.place / "without.db"
    command = world.parts.payments_server(ledger, variant=world.variant, late=world.late)
    async with RawClient(command, errors=world.errors) as client:
        await client.ask(sent, 1)
    entries = read_books(world.parts, ledger).entries
    scene.proves(
        "asked without a gateway, the same server pays 250.00: the second of the two",
        holds=[one.amount for one in entries] == [Decimal(250)],
    )


async def split(world: World, scene: Scene) -> None:
    """Show that payments that fit singly are refused once together they exceed the task's total."""
    told: str | None = None
    for number, (amount, fits) in enumerate(_PARTS, start=2):
        order = payment("acme-supplies", amount, f"invoice 2041 part {number}")
        tried, answer = await world.call(scene, _PAY, order)
        require(scene, tried, *(("permit",) if fits else ("refuse", "exhausted")))
        if not fits and told is None:
            told = answer.text
            scene.says("answer", told)
    left, whole = world.left("g3/total/amount")
    scene.says("left", f"{left / 100:.2f} of {whole / 100:.2f}")
    paid = world.books().paid("acme-supplies")
    scene.proves(
        f"the ledger has paid {paid:.2f} to acme-supplies, exactly the limit and not a cent more",
        holds=paid == _TOTAL and left == 0,
    )
