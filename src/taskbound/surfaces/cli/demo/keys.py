"""Keys of the demo's persons: generated and used by `ssh-keygen`, and enrolled."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from taskbound.surfaces.cli.approval.signing import find_key
from taskbound.surfaces.cli.demo.parts import PartMissingError
from taskbound.surfaces.cli.demo.program import Program
from taskbound.wire import identity as wire
from taskbound.wire.openssh import SIGNED_FOR

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.surfaces.cli.demo.program import CommandResult
    from taskbound.surfaces.cli.demo.world import World


def enroll(world: World, person: str, *, voucher: wire.PersonKeyRow | None = None) -> wire.PersonKeyRow:
    """Generate and enroll a person's key, vouched for by another key unless it is the first."""
    file = world.key_of(person)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    _keygen(world, "-q", "-t", "ed25519", "-N", "", "-C", f"{person}@demo", "-f", str(file))
    line, seen = find_key(str(file))
    found = world.client.ask(
        wire.ProposePersonKey(person=person, public=line, file=seen), wire.PersonKeyDetail
    )
    key = found.row.key
    proof = wire.ProvePersonKey(key=key, signature=_sign(world, file, found.statement))
    proven = world.client.ask(proof, wire.PersonKeyDetail)
    if voucher is None:
        return proven.row
    signature = _sign(world, world.key_of(voucher.person), found.statement)
    vouch = wire.VouchPersonKey(key=key, voucher=voucher.key, signature=signature)
    return world.client.ask(vouch, wire.PersonKeyDetail).row


def answer(world: World, word: str, action: str, person: str) -> CommandResult:
    program = Program(world.plugs.command())
    key = str(world.key_of(person))
    return program.run("approval", word, action, "--key", key, "--home", str(world.home))


def _sign(world: World, key: Path, statement: str) -> str:
    return _keygen(world, "-q", "-Y", "sign", "-n", SIGNED_FOR, "-f", str(key), told=statement)


def _keygen(world: World, *words: str, told: str = "") -> str:
    done = subprocess.run(  # noqa: S603 -- OpenSSH's program, with words of ours
        [world.parts.ssh_keygen, *words], input=told, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PartMissingError(
            f"`ssh-keygen` failed: {done.stderr.strip()[:200]}", remedy="use OpenSSH 8.2 or newer"
        )
    return done.stdout
