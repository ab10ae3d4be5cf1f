"""Signs one checkpoint and is killed before the N-th step that touches the disk."""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from taskbound.adapters.keys.ed25519 import verify_ed25519
from taskbound.adapters.keys.file import KeyDirectory
from taskbound.flows.audit.sequencing import CheckpointSigner

if TYPE_CHECKING:
    from collections.abc import Callable

STEPS = ("open", "fchmod", "write", "fsync", "close", "replace")


def main(place: str, origin: str, size: str, root: str, *proof: str, die_at: int) -> None:
    with KeyDirectory(Path(place)) as keys:
        signer = CheckpointSigner(origins=[origin], key=keys.key, heads=keys.heads, verify=verify_ed25519)
        steps = count(1)

        def dying(real: Callable[..., object]) -> Callable[..., object]:
            def step(*arguments: object, **named: object) -> object:
                if next(steps) == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **named)

            return step

        for name in STEPS:
            setattr(os, name, dying(getattr(os, name)))
        note = signer.sign_checkpoint(
            origin, int(size), bytes.fromhex(root), [bytes.fromhex(one) for one in proof]
        )
        sys.stdout.buffer.write(note)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*sys.argv[2:], die_at=int(sys.argv[1]))
