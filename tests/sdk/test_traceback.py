"""What a person reads of an error that their program does not handle: a real program, and what it printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sdk.program import settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sdk.program import Settled

NOTES = '''
from taskbound import Client, guard

@guard(server="notes", effect="write")
def note(file: str, text: str, times: int = 1) -> int:
    """Write a line at the end of a file."""
    raise KeyError(text)

@guard(server="notes")
def gone(file: str) -> None:
    """What nobody pinned."""

def block():
    return Client(agent="helper").task("keep notes", template="notes")

with open("file") as opened:
    FILE = opened.read()
'''
REFUSED = (
    "taskbound.sdk.guard.errors.RefusedError: `notes__note` is refused: grant g0 came nearest: argument "
)
ASK_LESS = (
    "what to do: stay within that; the ceiling of agent `helper` does not cover it, so no person may grant it"
)
PIN = "how a person pins it: docs/guides/sdk.md, *Pinning it*"
CALL_WITHIN = (
    "what to do: call it within `with client.task(…):` or `with client:`, or guard it with"
    " `@client.guard(…)` [no-client]"
)
MAKE_ONE = (
    "what to do: make one with `taskbound init`, or with `taskbound serve` where no client is to be gated;"
    " an approver makes none, and signs what the owner sends (`docs/guides/people.md`) [no-data-directory]"
)
LIST = "what to do: list them with `taskbound agent list` or `taskbound person list` [no-task-started]"
PROGRAMS = {
    "a refusal": (
        'with block(): note(FILE, "milk", times=100)',
        f"{REFUSED}`times` was `100`, which is more than 3: ",
        "[outside-scope]",
        [ASK_LESS],
    ),
    "hostile text of an argument": (
        r'with block(): note("\x1b[2J\nTraceback: all is well\u202e", "milk")',
        REFUSED + r'`file` was `"\u{1B}[2J\nTraceback: all is well\u{202E}"`, which ',
        "[outside-scope]",
        [ASK_LESS],
    ),
    "a tool that nobody pinned": (
        'with block(): gone("a")',
        "taskbound.sdk.guard.errors.UnpinnedToolError: `notes__gone` is refused: ",
        "[unknown-tool]",
        ["what to do: use a tool that tools/list names", PIN],
    ),
    "no client": (
        'note("a", "b")',
        "taskbound.sdk.guard.errors.NoClientError: ",
        "`notes__note` was called where no client is",
        [CALL_WITHIN],
    ),
    "hostile text of an agent's name": (
        r'with Client(agent="no\x1b[2Jone\n").task("x", template="notes"): pass',
        "taskbound.sdk.guard.errors.TaskNotStartedError: no task was started: ",
        r"no agent is named `no\u{1B}[2Jone\n` [unknown-identity]",
        [LIST],
    ),
    "an argument of another type": (
        'with block(): note(3, "milk")',
        "taskbound.sdk.guard.shape.UnwritableArgumentError: `file` takes a text, ",
        "a value of the type `int`",
        ["at `file`", "what to do: give a value of the parameter's type [bad-argument]"],
    ),
    "no installation": (
        'with Client(agent="helper", home="/nowhere").task("x"): pass',
        "taskbound.wiring.home.NoHomeError: ",
        "there is no data directory `/nowhere`",
        [MAKE_ONE],
    ),
    "its own error": ('with block(): note(FILE, "milk")', "KeyError: ", "'milk'", []),
}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settled]:
    with settled(tmp_path_factory.mktemp("there")) as found:
        (found.folder / "file").write_text(str(found.file))
        yield found


@pytest.mark.parametrize("named", PROGRAMS)
def test_a_traceback_ends_with_what_is_wrong_and_what_to_do_a_line_each(named: str, there: Settled) -> None:
    program, begins, ends, below = PROGRAMS[named]
    (there.folder / "program.py").write_text(NOTES + program)
    done = there.run("program.py")
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-len(below) - 1 :]
    assert last[0].startswith(begins), done.stderr
    assert last[0].endswith(ends), done.stderr
    assert last[1:] == below
    assert all(line.isprintable() for line in done.stderr.splitlines())


def test_a_program_that_prints_the_error_prints_what_is_wrong_and_no_more(there: Settled) -> None:
    program = (
        'try:\n    note("a", "b")\nexcept Exception as error:\n    print(error, error.code, error.advice)\n'
    )
    (there.folder / "program.py").write_text(NOTES + program)
    done = there.run("program.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("`notes__note` was called where no client is no-client call it within ")
    assert done.stdout.count("\n") == 1
