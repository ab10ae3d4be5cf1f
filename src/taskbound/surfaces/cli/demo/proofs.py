"""Steps 12 and 13: the log is verified without the daemon, and a stolen log key is detected."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from taskbound.surfaces.cli.demo.program import Program
from taskbound.surfaces.cli.demo.thief import blame, forge, place_of
from taskbound.surfaces.cli.demo.watching import kept_checkpoints

if TYPE_CHECKING:
    from taskbound.surfaces.cli.demo.scene import Scene
    from taskbound.surfaces.cli.demo.world import World


_TAMPERED: Final = 5
_OTHER: Final = "intern"


async def verified_offline(world: World, scene: Scene) -> None:
    """Show that an export and a proof verify with nothing but the log's key."""
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
    """Show that a kept checkpoint reveals a history rewritten with the stolen key."""
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
