"""A bare stdio proxy that looks at nothing: the baseline that the gateway's overhead is measured against.

Run it: ``python rawproxy.py COMMAND [ARGUMENT…]``

It starts COMMAND and passes the bytes of both directions on as they come, one blocking thread each way. It
ends with the command's exit status when the command closes its output. Standard library only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading


def pump(source: int, sink: int) -> None:
    """Pass bytes on until the source ends or the sink is gone; then close the sink."""
    try:
        while chunk := os.read(source, 1 << 20):
            view = memoryview(chunk)
            while view:
                view = view[os.write(sink, view) :]
    except BrokenPipeError:
        pass
    finally:
        os.close(sink)


def main() -> None:
    """Stand between standard input and output and the command."""
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as upstream:
        assert upstream.stdin is not None
        assert upstream.stdout is not None
        sink = os.dup(upstream.stdin.fileno())
        upstream.stdin.close()
        threading.Thread(target=pump, args=(0, sink), daemon=True).start()
        pump(upstream.stdout.fileno(), os.dup(1))
        status = upstream.wait()
    # Not sys.exit: the other thread may still hold standard input, and there is nothing left to flush.
    os._exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
