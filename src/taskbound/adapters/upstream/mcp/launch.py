"""Launcher that sets limits and then executes the pinned server: ``python -I -S launch.py FD``.

It is a separate single-threaded program: code between fork and exec in a threaded process may hang, and
limits set from outside come too late for a quick program.

1. The command arrives on a socket, not in arguments or environment, as zero-terminated fields preceded by
   their count.
2. The umask keeps files private. Signals that Python ignores are restored.
3. The socket is closed by exec, which signals success; a number on it is an error.
4. If the socket ends early, the starter is gone and nothing runs.
5. A server with secrets is killed by the kernel when its starter dies (Linux `PR_SET_PDEATHSIG`, `prctl(2)`);
   its own children are not.
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
    kind = getattr(resource, name)
    was_soft, was_hard = resource.getrlimit(kind)
    hard = hard if was_hard == resource.RLIM_INFINITY else min(hard, was_hard)
    wanted = hard if was_soft == resource.RLIM_INFINITY else was_soft
    resource.setrlimit(kind, (min(wanted if soft == _KEEP else int(soft), hard), hard))


def _ends_with(parent: int) -> bool:
    if sys.platform == "linux":
        import _ctypes  # noqa: PLC0415 -- who has no slots needs none, and `ctypes` takes as long as all of this

        own = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # none is this program and what it has loaded
        prctl = _ctypes.dlsym(own, "prctl")
        _ctypes.call_function(prctl, (_DEATH_SIGNAL, int(_signal.SIGKILL), 0, 0, 0))
    return os.getppid() == parent


def main() -> None:
    """Executes the command from the socket."""
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
