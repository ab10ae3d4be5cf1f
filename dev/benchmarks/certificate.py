"""Minting and ending a certificate of a host: bare OpenSSH, the bare helper, and ours, by turns in one run.

*Bare* is `ssh-keygen` twice: a key pair, and a certificate of it with the same key id, principal and end; no
host is told of that, and nothing can end it. *Helper* is the helper on the host alone, asked by a process
beside it: it admits a name, and ends one that has nothing open, which makes the KRL anew. *Ours* is what the
broker calls: a kept connection of `ssh` to the helper that is asked whether it lives, the same request over
it, and for a mint key pair and certificate; *fresh* is the same over a connection that is opened for it. The
host is sshd on the same machine. Each name is admitted and ended once.
"""

from __future__ import annotations

import json
import subprocess
from collections import deque
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Final

from dev.benchmarks.page import Aim, Section, Table
from dev.benchmarks.sampling import by_turns, micro
from tests.peers.hosting import PATIENCE, Host, hosting
from tests.peers.sshd import fresh_name, private_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from dev.benchmarks.sampling import Timed


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_MOST: Final = 2.0
"""Times the bare helper: the aim."""
_numbers = count()


def measure_certificate(*, quick: bool) -> Section:
    """The section."""
    turns, pieces = (3, 5) if quick else (11, 20)
    with ExitStack() as over:
        host = over.enter_context(hosting())
        folder = Path(over.enter_context(TemporaryDirectory(prefix="taskbound-ca-")))
        helper = over.enter_context(host.sshd.helper())
        timed = by_turns(_works(host, folder, helper), turns=turns, pieces=pieces)
        _pipes(helper)[0].close()
    rows = tuple((name, *map(micro, (one.median, one.p99, one.cpu))) for name, one in timed.items())
    return Section(
        name="certificate",
        title="Minting and ending a certificate of a host",
        method=_METHOD,
        tables=(Table(head=("work", "p50 µs", "p99 µs", "CPU µs"), rows=rows),),
        aims=tuple(_aims(timed)),
        numbers={name: one.median for name, one in timed.items()},
    )


def _works(host: Host, folder: Path, helper: subprocess.Popen[bytes]) -> dict[str, Callable[[], object]]:
    ca = folder / "ca"
    ca.write_text(private_text(host.sshd.ca), encoding="ascii")
    ca.chmod(0o600)
    target, bare, ours = host.target(), deque[str](), deque[str]()
    ends = host.ends // 1_000_000

    def ask(**members: object) -> None:
        asking, answering = _pipes(helper)
        asking.write(json.dumps(members).encode() + b"\n")
        asking.flush()
        answer = json.loads(answering.readline())
        if "ok" not in answer:
            raise RuntimeError(f"the helper answers {answer}")

    def sign() -> None:
        key, name = folder / f"key{next(_numbers)}", fresh_name()
        made = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
        signed = ("ssh-keygen", "-q", "-s", str(ca), "-I", name, "-n", host.sshd.account, "-V", "-1m:+1d")
        for command in (made, (*signed, f"{key}.pub")):
            subprocess.run(command, check=True, capture_output=True)

    def admit() -> None:
        bare.append(fresh_name())
        account = host.sshd.account
        ask(do="admit", name=bare[-1], account=account, principals=[account], ends=ends)

    def mint() -> None:
        order = host.order()
        target.mint(order, host.kind, patience=PATIENCE)
        ours.append(order.name)

    def mint_fresh() -> None:
        order = host.order()
        host.target(host.place()).mint(order, host.kind, patience=PATIENCE)
        ours.append(order.name)

    return {
        "mint, bare": sign,
        "mint, helper": admit,
        "mint, ours": mint,
        "end, helper": lambda: ask(do="revoke", name=bare.popleft(), ends=ends),
        "end, ours": lambda: target.revoke(ours.popleft(), ends=host.ends, patience=PATIENCE),
        "mint, ours, fresh": mint_fresh,
    }


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise ValueError("a process without pipes")
    return process.stdin, process.stdout


def _aims(timed: dict[str, Timed]) -> list[Aim]:
    mint, bare = timed["mint, ours"].median, timed["mint, bare"].median
    end, helper = timed["end, ours"].median, timed["end, helper"].median
    return [
        Aim(
            words="mint no slower than two runs of `ssh-keygen`",
            measured=f"{micro(mint)} µs against {micro(bare)}",
            reached=mint <= bare,
            reason="the host is told first",
        ),
        Aim(
            words="end in at most twice what the helper takes",
            measured=f"{micro(end)} µs against {micro(helper)}",
            reached=end <= _MOST * helper,
            reason="a connection that is kept is asked whether it lives",
        ),
    ]
