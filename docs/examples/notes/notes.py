"""Notes in a file, of which each is asked for before it is written.

python notes.py FILE TEXT...
"""

from __future__ import annotations

import sys
from pathlib import Path

from taskbound import Client, HeldError, RefusedError, guard


@guard(server="notes", effect="write", failed=(FileNotFoundError, PermissionError))
def note(file: str, text: str, times: int = 1) -> int:
    """Write a line at the end of a file."""
    with Path(file).open("a", encoding="utf-8") as stream:
        return stream.write(f"{text}\n" * times)


@guard(server="notes", effect="read", failed=(OSError, UnicodeDecodeError))
def read(file: str) -> list[str]:
    """Read all lines of a file."""
    return Path(file).read_text("utf-8").splitlines()


def main(file: str, texts: list[str]) -> int:
    """Write the notes, and say what stands there then; the exit status."""
    with Client(agent="helper").task("keep notes", template="notes"):
        for text in texts:
            try:
                note(file, text)
            except HeldError as error:
                print(f"held: {text} ({error.look})")
            except RefusedError as error:
                print(f"refused: {text} [{error.code}]")
                print(f"  {error.remedy}")
        print(*read(file), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
