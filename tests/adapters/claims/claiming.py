"""A process of a service that claims: it does what its arguments say, and tells what it was told."""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
from contextlib import suppress
from pathlib import Path

from taskbound.adapters.claims import SqliteClaims
from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import TaskboundError
from taskbound.core.token.shared import Serving

NOW = Instant(seconds(1_800_000_000))


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def descriptors_of(path: Path) -> int:
    """How many descriptors of the file this process has."""
    count, file = 0, path.stat().st_ino
    for one in Path("/dev/fd").iterdir():
        with suppress(OSError):  # the one by which the folder was listed
            count += os.fstat(int(one.name)).st_ino == file
    return count


def fork_meanwhile(claims: SqliteClaims) -> None:
    """Fork while another thread is in a transaction, and have the child end as programs do."""
    inherited = claims._connection()  # noqa: SLF001 - what goes through no fork
    writes, forks, forked = threading.Event(), threading.Event(), threading.Event()

    def write() -> None:
        with claims._writing() as connection:  # noqa: SLF001 - a transaction that is open at a chosen moment
            connection.execute("UPDATE seen SET at = 7")
            writes.set()
            forks.wait(20)
            forked.wait(0.5)  # a fork that does not wait for this comes now

    os.register_at_fork(before=forks.set)
    other = threading.Thread(target=write)
    other.start()
    writes.wait(20)
    child = os.fork()
    if child == 0:
        tell(f"open {inherited.in_transaction}")
        del inherited
        asking = threading.Thread(target=claims.last_instant, daemon=True)
        asking.start()
        asking.join(20)
        claims.close()
        tell(f"asks {asking.is_alive()}")
        sys.exit(0)
    forked.set()
    other.join()
    os.waitpid(child, 0)
    tell(f"at {claims.last_instant()}")


def main(path: str, work: str) -> None:
    claims = SqliteClaims(Path(path))
    serving = Serving(verifier="payments", txn="act_1", request="r", until=Instant(NOW + seconds(60)))
    tell("ready")
    sys.stdin.readline()
    if work == "full":
        size = Path(path).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        if work == "threads":
            fork_meanwhile(claims)
            tell("gone")
        elif work == "fork":
            claims.begin(serving, NOW)
            inherited = claims._connection()  # noqa: SLF001 - what goes through no fork
            if os.fork() == 0:
                tell(str(claims._connection() is inherited))  # noqa: SLF001 - the child has its own
                tell(type(claims.begin(serving, NOW)).__name__)
                second = Serving(verifier="payments", txn="act_2", request="r", until=serving.until)
                tell(type(claims.begin(second, NOW)).__name__)
                del inherited
                gc.collect()
                tell(f"holds {descriptors_of(Path(path))}")
                os._exit(0)
            os.wait()
            tell("gone")
        else:
            found: object = None
            for number in range(200 if work == "full" else 1):
                each = Serving(
                    verifier="payments", txn=f"act_{number + 1}", request="r" * 64, until=serving.until
                )
                found = claims.begin(each if work == "full" else serving, NOW)
            tell(type(found).__name__)
    except TaskboundError as error:
        tell(error.code)
    sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
