"""A process of a service that claims: it does what its arguments say, and tells what it was told."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from taskbound.adapters.claims import SqliteClaims
from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import TaskboundError
from taskbound.core.token.served import Serving

NOW = Instant(seconds(1_800_000_000))


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(path: str, work: str) -> None:
    claims = SqliteClaims(Path(path))
    serving = Serving(verifier="payments", txn="act_1", request="r", until=Instant(NOW + seconds(60)))
    tell("ready")
    sys.stdin.readline()
    if work == "full":
        size = Path(path).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        if work == "fork":
            claims.begin(serving, NOW)
            inherited = claims._connection()  # noqa: SLF001 - what goes through no fork
            if os.fork() == 0:
                tell(str(claims._connection() is inherited))  # noqa: SLF001 - the child has its own
                tell(type(claims.begin(serving, NOW)).__name__)
                second = Serving(verifier="payments", txn="act_2", request="r", until=serving.until)
                tell(type(claims.begin(second, NOW)).__name__)
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


main(*sys.argv[1:])
