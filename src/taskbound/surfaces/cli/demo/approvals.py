"""Steps 8, 9 and 11 to 13: approvals, and proofs that need no daemon."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.core.approval import ProbeKind, parse_question
from taskbound.core.tool import parse_definition
from taskbound.ports.process import send_signal, started_of
from taskbound.surfaces.cli.demo.keys import answer
from taskbound.surfaces.cli.demo.limits import payment, require
from taskbound.surfaces.cli.demo.program import Program
from taskbound.surfaces.cli.demo.setting import LARGE, second_task
from taskbound.surfaces.cli.demo.thief import blame, forge, place_of
from taskbound.surfaces.cli.demo.watching import kept_checkpoints
from taskbound.surfaces.cli.demo.world import APPROVER, PERSON, tried_of, words_of
from taskbound.wire.approval import ApprovalDetail, ApprovalRows, ListApprovals, ShowApproval
from taskbound.wire.connection import Done
from taskbound.wire.tool import DeclareTool, ListTools, ToolRows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from taskbound.core.action import JsonValue
    from taskbound.surfaces.cli.demo.agent import Answered
    from taskbound.surfaces.cli.demo.program import CommandResult
    from taskbound.surfaces.cli.demo.scene import Scene, Tried
    from taskbound.surfaces.cli.demo.world import World
    from taskbound.wire.action import ActionDetail


_PAY: Final = "payments__pay"
_LATE: Final = 40
_PATIENCE: Final = 20.0


async def approved_once(world: World, scene: Scene) -> None:
    """Show that a held payment runs once after a person other than the requester signs."""
    world.late.write_text("0", encoding="utf-8")
    second_task(world, scene)
    name, reference = LARGE, "invoice 2043"
    order = payment("blue-freight", 400, reference)
    async with held_call(world, scene, order) as (held, calling):
        require(scene, scene.tries[-1], "hold", "held")
        scene.require(f"policy `{name}` holds it", holds=name in held.policies)
        action = held.row.action
        question = world.client.ask(ShowApproval(approval=action), ApprovalDetail)
        scene.says("may sign", f"{', '.join(question.may_answer)}; the digest is {question.digest[:16]}…")
        scene.require("the requester may not, another person may", holds=question.may_answer == (APPROVER,))
        scene.proves("nothing was paid while it is held", holds=not world.books().named(reference))
        said = await answered_by(world, scene, "sign", action, PERSON)
        scene.says("refuse", f"{said.message} [{said.code}]")
        scene.proves("who asked for the task can't approve for it", holds=said.code == "not-entitled")
        said = await answered_by(world, scene, "sign", action, APPROVER)
        scene.require(f"the signature counts: {said.message}", holds=said.status == 0)
        got = await calling
    done = _told(world, scene, action, got)
    require(scene, done, "permit")
    scene.proves(
        "the held action itself ran, under its own id, and the ledger holds it once",
        holds=not got.error and done.state == "succeeded" and len(world.books().named(reference)) == 1,
    )
    async with held_call(world, scene, order) as (again, calling):
        require(scene, scene.tries[-1], "hold", "held")
        other = again.row.action
        scene.proves("the same call asks again: the approval is used up", holds=other != action)
        said = await answered_by(world, scene, "deny", other, APPROVER)
        scene.require(f"the denial counts: {said.message}", holds=said.status == 0)
        got = await calling
    told_denied(scene, got)
    scene.proves("the ledger still holds it once", holds=len(world.books().named(reference)) == 1)


async def asked_after_unknown(world: World, scene: Scene) -> None:
    """Show that a repeat is held when the server died after the payment and before its answer."""
    world.late.write_text(str(_LATE), encoding="utf-8")
    reference = "invoice 2044"
    order = payment("acme-supplies", 90, reference)
    agent = await world.connect()
    scene.trying(_PAY, words_of(order.items()))
    before = world.watch.newest()
    calling = asyncio.create_task(agent.call(_PAY, order))
    try:
        await world.until_paid(reference)
        (running,) = world.watch.since(before)
        scene.tried(tried_of(running, ""))
        scene.says(
            "crash", f"the payments server {_kill_server(world)} is killed (SIGKILL) before it answers"
        )
        lost = await calling
    finally:
        calling.cancel()
    world.late.write_text("0", encoding="utf-8")
    detail = world.watch.action(running.row.action)
    scene.tries[-1] = tried_of(detail, lost.text)
    scene.says("withheld", f"{lost.text} [{lost.code}]")
    scene.proves("its outcome is on record as unknown", holds=lost.error and detail.row.state == "unknown")
    async with held_call(world, scene, order) as (held, calling):
        require(scene, scene.tries[-1], "hold", "held")
        paid = world.books().named(reference)
        scene.says("person", f"looks into the ledger, and finds it there as entry {paid[0].sequence}")
        said = await answered_by(world, scene, "deny", held.row.action, PERSON)
        scene.require(f"the denial counts: {said.message}", holds=said.status == 0)
        got = await calling
    told_denied(scene, got)
    scene.proves(
        "the ledger holds it once: not knowing was not taken for a failure",
        holds=len(world.books().named(reference)) == 1,
    )
    await world.disconnect()


@asynccontextmanager
async def held_call(
    world: World, scene: Scene, order: dict[str, JsonValue]
) -> AsyncIterator[tuple[ActionDetail, asyncio.Task[Answered]]]:
    agent = await world.connect()
    scene.trying(_PAY, words_of(order.items()))
    before = world.watch.newest()
    calling = asyncio.create_task(agent.call(_PAY, order))
    try:
        end = time.monotonic() + _PATIENCE
        while not world.client.ask(ListApprovals(states=("pending",)), ApprovalRows).rows:
            if calling.done() or time.monotonic() > end:
                raise TimeoutError("the call was not held")
            await asyncio.sleep(0.05)
        (held,) = world.watch.since(before)
        scene.tried(tried_of(held, ""))
        yield held, calling
    finally:
        calling.cancel()


async def answered_by(world: World, scene: Scene, word: str, action: str, person: str) -> CommandResult:
    scene.says("runs", f"taskbound approval {word} {action} --key {person}")
    return await asyncio.to_thread(answer, world, word, action, person)


def _told(world: World, scene: Scene, action: str, got: Answered) -> Tried:
    scene.tries.pop()
    return scene.tried(tried_of(world.watch.action(action), got.text))


def told_denied(scene: Scene, got: Answered) -> None:
    """Fail the step unless the agent got the denial."""
    scene.says("answer", f"{got.text} [{got.code}]")
    scene.require("the agent receives the denial", holds=got.error and got.code == "approval-denied")


def _kill_server(world: World) -> int:
    wanted = {os.fsencode(world.parts.payments / "server.py"), os.fsencode(world.ledger)}
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            one = int(file.parent.name), started_of(int(file.parent.name))
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended since
        if wanted <= set(words):
            found.append(one)
    if len(found) != 1:
        raise ProcessLookupError(f"{len(found)} payments servers run")
    send_signal(found[0], signal.SIGKILL)
    return found[0][0]


_FILES_PATIENCE: Final = 25.0


async def changed_while_asked(world: World, scene: Scene) -> None:
    folder = world.place / "work" / "invoices"
    folder.mkdir()
    invoice = folder / "2045.txt"
    invoice.write_text("blue-freight, 400 EUR, ten pallets\n", encoding="utf-8")
    probe = f"reference=file:{folder}"
    _declare(world, (probe,))
    scene.says("declares", f"a person: `{probe}` of {_PAY}")
    order = payment("blue-freight", 400, str(invoice))
    async with held_call(world, scene, order) as (held, calling):
        require(scene, scene.tries[-1], "hold", "held")
        before = world.client.ask(ShowApproval(approval=held.row.action), ApprovalDetail)
        scene.says("sheet", f"the file has the SHA-256 {_digest(before)[:16]}…, and that is signed with it")
        invoice.write_text("blue-freight, 400 EUR, no pallets\n", encoding="utf-8")
        scene.says("changed", "the invoice is overwritten while bob reads the sheet")
        await _until_over(world, before.row.approval)
        over = world.client.ask(ShowApproval(approval=before.row.approval), ApprovalDetail)
        scene.says("over", over.row.reason)
        said = await answered_by(world, scene, "sign", held.row.action, APPROVER)
        scene.says("refuse", f"{said.message} [{said.code}]")
        scene.proves("the old content can no longer be approved", holds=said.code == "approval-over")
        (row,) = world.client.ask(ListApprovals(states=("pending",)), ApprovalRows).rows
        after = world.client.ask(ShowApproval(approval=row.approval), ApprovalDetail)
        scene.says("sheet", f"another question: the file has the SHA-256 {_digest(after)[:16]}…")
        scene.proves(
            "people are asked anew, about what the file is now",
            holds=_digest(after) != _digest(before) and after.digest != before.digest,
        )
        said = await answered_by(world, scene, "deny", row.action, APPROVER)
        scene.require(f"the denial counts: {said.message}", holds=said.status == 0)
        got = await calling
    told_denied(scene, got)
    scene.proves("nothing was paid", holds=not world.books().named(str(invoice)))
    _declare(world, ())


def _declare(world: World, probes: tuple[str, ...]) -> None:
    rows = world.client.ask(ListTools(), ToolRows).rows
    (row,) = [one for one in rows if one.name == _PAY]
    digest = parse_definition(bytes(row.raw)).digest
    world.client.ask(DeclareTool(name=_PAY, definition=digest, probes=probes), Done)


def _digest(detail: ApprovalDetail) -> str:
    (operand,) = parse_question(detail.question.encode()).operands
    return dict(operand.found)["sha256"] if operand.kind is ProbeKind.FILE else ""


async def _until_over(world: World, approval: str) -> None:
    end = time.monotonic() + _FILES_PATIENCE
    while world.client.ask(ShowApproval(approval=approval), ApprovalDetail).row.state == "pending":
        if time.monotonic() > end:
            raise TimeoutError("the question is still open, though its file is another one")
        await asyncio.sleep(0.1)


_TAMPERED: Final = 5
_OTHER: Final = "intern"


async def verified_offline(world: World, scene: Scene) -> None:
    program, place = Program(world.plugs.command()), world.place
    log, key, proof = (str(place / name) for name in ("log.jsonl", "log.vkey", "payment.tlog-proof"))
    home = ("--home", str(world.home))
    proved = program.run("audit", "proof", world.paid, "-o", proof, *home)
    scene.require(f"there is a proof: {proved.message}", holds=proved.status == 0)
    exported = program.run("audit", "export", "-o", log, *home)
    scene.require(f"there is an export: {exported.message}", holds=exported.status == 0)
    (place / "log.vkey").write_text(f"{exported.document['key']}\n", encoding="ascii")
    scene.says("daemon", f"process {world.end_daemon()} has ended; what follows reads files alone")
    scene.says("runs", "taskbound audit verify log.jsonl --key log.vkey")
    verified = program.run("audit", "verify", log, "--key", key)
    scene.require(f"the export verifies: {verified.message}", holds=verified.status == 0)
    covered, records = verified.number("covered"), verified.number("records")
    scene.proves(
        f"{covered} of {records} records are as the log's key signed them",
        holds=0 < covered <= records and records == exported.number("records"),
    )
    scene.says("runs", "taskbound audit verify --proof payment.tlog-proof --key log.vkey")
    included = program.run("audit", "verify", "--proof", proof, "--key", key)
    scene.proves(
        f"the first payment's decision is record {included.number('index')} of that log",
        holds=included.status == 0 and world.paid in str(included.document.get("record")),
    )
    other = place / "other.record"
    other.write_bytes((place / "payment.tlog-proof.record").read_bytes().replace(b"permit", b"refuse", 1))
    scene.says("runs", "the same with one word of the record changed")
    altered = program.run("audit", "verify", "--proof", proof, "--record", str(other), "--key", key)
    scene.says("refuse", f"{altered.message} [{altered.code}]")
    scene.proves("one changed word is found", holds=altered.status == _TAMPERED)


async def stolen_key(world: World, scene: Scene) -> None:
    program, place = Program(world.plugs.command()), world.place
    key = str(place / "log.vkey")
    copy = place / "stolen"
    shutil.copytree(world.home, copy, ignore=shutil.ignore_patterns("run", "log"))
    loot = world.plugs.loot(copy)
    index = place_of(loot.records, world.paid)
    kept = next(one for one in kept_checkpoints(world.monitor) if one.size > index)
    (place / "yesterday.checkpoint").write_text(kept.note, encoding="utf-8")
    scene.says("thief", f"copies the data directory, and the key in it; has {len(loot.records)} records")
    scene.says("thief", f"makes record {index}, the first payment, `{_OTHER}`'s; recomputes all; signs")
    forged = place / "forged.jsonl"
    forged.write_bytes(b"".join(forge(loot, index, blame(_OTHER))))
    honest = str(place / "log.jsonl")
    scene.says("runs", "taskbound audit verify forged.jsonl --key log.vkey")
    alone = program.run("audit", "verify", str(forged), "--key", key)
    scene.proves(
        f"the forged log verifies by itself: {alone.number('covered')} records, signed by the true key",
        holds=alone.status == 0 and alone.number("uncovered") == 0 and _OTHER.encode() in forged.read_bytes(),
    )
    held = ("--checkpoint", str(place / "yesterday.checkpoint"))
    scene.says("monitor", f"keeps an earlier checkpoint, of {kept.size} records: yesterday's, so to speak")
    scene.require("it is older than the log's end", holds=kept.size < len(loot.records))
    scene.says("runs", "the same, with --checkpoint yesterday.checkpoint")
    caught = program.run("audit", "verify", str(forged), "--key", key, *held)
    scene.says("refuse", f"{caught.message} [{caught.code}]")
    scene.proves(
        "that checkpoint alone is enough to detect the thief",
        holds=(caught.status, caught.code) == (_TAMPERED, "log-forked"),
    )
    same = program.run("audit", "verify", honest, "--key", key, *held)
    scene.proves(
        f"the true log agrees with it: held {same.number('held')}, covered {same.number('covered')}",
        holds=same.status == 0 and same.number("held") == kept.size,
    )
