"""Becomes a server: takes on the limits that it is told, and runs the pinned file in its own place.

Run it: ``python -I -S launch.py FD``

It is a program of its own, with one thread and no imports of ours: what stands between fork and exec in a
process with threads may hang, and limits that are set from outside come too late for a program that is quick.

1. What is to be run comes by a socket, and not by arguments or environment, which others may read or which
   would be this program's own: fields that end with a zero byte, the number of them first.
2. Nothing is made writable for others (umask). The signals that this interpreter ignores, a server does not.
3. The socket is closed by exec itself: its end says that the server runs. A number on it says why it can't.
4. Where the socket ends before all was said, whoever starts servers is gone: nothing is run.
5. A server with something in its slots ends with whoever started it, also when that is killed: the kernel
   kills it then (`PR_SET_PDEATHSIG` of Linux' `prctl(2)`). What it started itself hears nothing of that.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` without enumerations: half of the time here
import os
import resource
import sys

_WRITABLE = 0o022
_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG."""
_KEEP = "-"


def _read(descriptor: int) -> list[bytes]:
    held = b""
    while data := os.read(descriptor, 65536):
        held += data
        count, mark, rest = held.partition(b"\0")
        if mark and rest.count(b"\0") == int(count):
            return rest.split(b"\0")[:-1]
    return []  # 4


def _limit(name: str, soft: str, hard: int) -> None:
    """Take on a limit; what can't be passed already stays, and so does what is not passed if that is kept."""
    kind = getattr(resource, name)
    was_soft, was_hard = resource.getrlimit(kind)
    hard = hard if was_hard == resource.RLIM_INFINITY else min(hard, was_hard)
    wanted = hard if was_soft == resource.RLIM_INFINITY else was_soft
    resource.setrlimit(kind, (min(wanted if soft == _KEEP else int(soft), hard), hard))


def _ends_with(parent: int) -> bool:
    """End with this process, which started this one (rule 5); whether it is there still."""
    if sys.platform == "linux":
        import _ctypes  # noqa: PLC0415 -- who has no slots needs none, and `ctypes` takes as long as all of this

        own = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # none is this program and what it has loaded
        prctl = _ctypes.dlsym(own, "prctl")
        _ctypes.call_function(prctl, (_DEATH_SIGNAL, int(_signal.SIGKILL), 0, 0, 0))
    return os.getppid() == parent


def main() -> None:
    """Run what the socket says."""
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)  # noqa: FBT003 -- it has no names # 3
    said = _read(descriptor)
    if not said:
        return
    limits, file, parent, variables, *rest = said
    if parent and not _ends_with(int(parent)):
        return
    try:
        for one in limits.decode("ascii").split():
            name, soft, hard = one.split(":")
            _limit(name, soft, int(hard))
        os.umask(os.umask(_WRITABLE) | _WRITABLE)
        for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
            _signal.signal(number, _signal.SIG_DFL)  # 2
        count = 2 * int(variables)
        environment = dict(zip(rest[:count:2], rest[1:count:2], strict=True))
        os.execve(file, rest[count:], environment)  # noqa: S606 -- a shell would be another program
    except OSError as error:
        os.write(descriptor, b"%d" % (error.errno or 0))


if __name__ == "__main__":
    main()
