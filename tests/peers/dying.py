"""The helper of an OpenSSH host, killed right before one of the calls by which it changes the host.

Run it: ``python -I dying.py POINT PROGRAM WORD…``: the program runs as itself until it comes to its POINT-th
place. A place is a call that changes something or waits for it, and by which lines of the program it was come
to; one that is come to again doesn't count, but for signals, of which each has somebody else. With POINT 0
nothing is killed, and standard error has a line for each.
"""

from __future__ import annotations

import os
import sys
from signal import SIGKILL
from types import BuiltinFunctionType, FrameType

_CHANGES = {
    *("flock", "flush", "mkdir", "pidfd_send_signal", "posix_spawnp", "readline", "replace", "rmdir"),
    *("unlink", "utime", "waitpid"),
}
_WRITES = {"write", "__exit__"}
"""Changes, in a function that writes. What syncs or makes ready changes nothing that a kill could show."""
_WRITERS = {"write", "_kill_group", "_hold", "_principals", "_serve", "_answer_sshd"}


def _main(point: int, program: str, words: list[str]) -> None:
    with open(program, encoding="utf-8") as file:  # noqa: PTH123  # what is imported here would be traced
        code = compile(file.read(), program, "exec")
    seen: list[tuple[str, list[int]]] = []

    def trace(frame: FrameType, event: str, called: object) -> None:
        if (
            event != "c_call"
            or not isinstance(called, BuiltinFunctionType)
            or isinstance(called.__self__, str)
        ):
            return
        name = called.__name__
        lines: list[int] = []
        within: FrameType | None = frame
        while within is not None:
            if within.f_code.co_filename == program:
                lines.append(within.f_lineno)
                if len(lines) == 1 and name in _WRITES and within.f_code.co_name not in _WRITERS:
                    return
            within = within.f_back
        if not lines or name not in _CHANGES | _WRITES:
            return
        if (name, lines) in seen and name != "pidfd_send_signal":
            return
        seen.append((name, lines))
        if len(seen) == point:
            os.kill(os.getpid(), SIGKILL)
        if not point:
            sys.stderr.write(f"{name} {lines}\n")

    sys.argv = [program, *words]
    sys.setprofile(trace)
    exec(code, {"__name__": "__main__", "__file__": program})  # noqa: S102  # as `python PROGRAM` would


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
