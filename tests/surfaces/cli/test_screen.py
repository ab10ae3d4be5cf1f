from __future__ import annotations

import io
import json
import re
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.surfaces.cli.action import show_action
from taskbound.surfaces.cli.errors import tell
from taskbound.surfaces.cli.screen import Screen, Words, ascii_json, moment, shown
from taskbound.surfaces.cli.task import show_task
from taskbound.wire.action import ActionDetail, ActionRow, Reason
from taskbound.wire.connection import Fault
from taskbound.wire.task import EvidenceRow, TaskDetail, TaskRow
from tests.unescaping import unescape_text

SGR = re.compile(r"\x1b\[[0-9;]*m")
HOSTILE = [
    "\x1b[2J\x1b[1;1Hstate      completed",
    "\x1b]8;;https://example.com\x07click\x1b]8;;\x07",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x9b31mred\x9bm",
    "safe\rEVIL",
    "a\b\b\b\b",
    "why not\nApproved by: alice",
    "why not\r\nstate      completed",
    "\u202etxt.exe\u202c",
    "\u2066left\u2069",
    "a\u2028state      completed\u2029",
    "de\u200blete\u200d",
    "\U000e0041\U000e0042",
    "\u0430dmin",
    "e" + "\u0301" * 200,
    "x" + " " * 10_000 + "state      completed",
    "\x00\x7f\x85",
    "%n%s{0}{}",
    "[bold red]markup[/] :smile: [link=https://example.com]x[/link]",
    "`code` \\n \\u{1B}",
    "Approved by: alice",
    "┊ state      completed",
    "\ud7ff\ue000\ufeff",
    "日本語" * 60,
]


class Terminal(io.StringIO):
    """Text that thinks it is shown in a window."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def task(text: str) -> TaskDetail:
    row = TaskRow(
        task="tsk_1",
        agent="helper",
        requester="alice",
        purpose=text,
        state="running",
        started=1,
        deadline=2,
        actions=3,
        learning=False,
    )
    return TaskDetail(
        row=row,
        scope=msgspec.Raw(b"{}"),
        scope_words=(text,),
        remainders=((text, 1, 2),),
        evidence=tuple(
            EvidenceRow(text=text, names=(), verdict=verdict, until=1, reason=text)
            for verdict in ("disowned", "stated")
        ),
        connections=0,
        history=(text,),
    )


def action(text: str) -> ActionDetail:
    row = ActionRow(
        action="act_1",
        task="tsk_1",
        agent="helper",
        tool=text,
        state="refused",
        decision="refuse",
        code=text,
        at=1,
        attempt=1,
        learning=False,
    )
    return ActionDetail(
        row=row,
        digest="d",
        act_key="k",
        server="s",
        definition="f",
        arguments=text,
        flags=(text,),
        grant=text,
        policies=(text,),
        bundle="b",
        scope="s",
        reasons=(Reason(code=text, text=text, detail=text),),
        history=(text,),
    )


def require_tame(text: str) -> None:
    bad = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
    for char in SGR.sub("", text):
        assert char == "\n" or unicodedata.category(char) not in bad, repr(char)


@pytest.mark.parametrize("text", HOSTILE)
def test_a041_a042_a043_a223_a_hostile_task_fills_exactly_its_own_fields(text: str) -> None:
    out = io.StringIO()
    show_task(Screen(json=False, out=out), task(text))
    require_tame(out.getvalue())
    heading, *lines = out.getvalue().removesuffix("\n").split("\n")
    labels = [line[:11].rstrip() for line in lines]
    assert heading == "tsk_1"
    assert labels == [
        "state", "agent", "requester", "purpose", "evidence", "", "started", "ends", "may", "left",
        "actions", "connections", "history",
    ]  # fmt: skip  # a list of words reads better as words
    purpose = lines[3][13:]
    assert unescape_text(purpose) == text, "what was escaped can be told exactly"


@pytest.mark.parametrize("text", HOSTILE)
def test_a041_a043_a045_in_a_window_no_line_of_a_hostile_text_starts_where_ours_do(
    text: str, window: Terminal
) -> None:
    show_task(Screen(json=False, out=window), task(text))
    show_action(Screen(json=False, out=window), action(text))
    require_tame(window.getvalue())
    ours = re.compile(
        r"(tsk_1|act_1|(state|agent|requester|purpose|evidence|started|ends|may|left|actions|connections|history"
        r"|decision|reasons|at|tool|arguments|flags|task|attempt|grant|policies|digest|act key|server"
        r"|definition|scope|bundle)( {2,}|$)|\s+┊ )"
    )
    lines = SGR.sub("", window.getvalue()).removesuffix("\n").split("\n")
    assert [line for line in lines if not ours.match(line)] == []
    wide = [line for line in lines if sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in line) > 60]
    assert wide == [], "the window never breaks a line by itself"
    starts = [line for line in lines if line.startswith("state ")]
    assert len(starts) == 2, "one state a thing, and it is ours"


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("columns", ["200", "60", "20"])
def test_a043_a050_a_hostile_cell_moves_no_column_and_adds_no_line(
    text: str, columns: str, window: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    Screen(json=False, out=window).table(
        ("TASK", "AGENT", "STATE", "PURPOSE"),
        [("tsk_1", text, "running", text), ("tsk_2", "helper", "paused", "x")],
        "none",
    )
    require_tame(window.getvalue())
    lines = SGR.sub("", window.getvalue()).removesuffix("\n").split("\n")
    if columns == "20":
        assert [line for line in lines if not re.match(r"(TASK|AGENT|STATE|PURPOSE) +|\s+┊ ", line)] == []
        return
    if columns == "200":
        assert len(lines) == 3
        state = lines[0].index("STATE")
        assert lines[1][state : state + 7] == "running"
        assert lines[2][state : state + 6] == "paused"
        assert lines[1][: lines[0].index("PURPOSE")].isascii()


@given(st.text())
def test_a223_any_text_becomes_one_line_that_can_be_read_back(text: str) -> None:
    out = io.StringIO()
    Screen(json=False, out=out).fields([("label", text)])
    line = out.getvalue()
    assert line.count("\n") == 1
    assert unescape_text(line.removeprefix("label  ").removesuffix("\n")) == text
    require_tame(line)


@given(st.text(st.characters(max_codepoint=0x9F)))
def test_words_that_were_escaped_once_are_not_escaped_again(text: str) -> None:
    assert shown(Words(shown(text))) == shown(text)


@given(st.recursive(st.text() | st.integers() | st.none(), lambda one: st.dictionaries(st.text(), one)))
def test_a223_json_output_is_ascii_and_means_the_same(value: object) -> None:
    text = ascii_json(value)
    assert text.isascii()
    assert "\x7f" not in text
    assert json.loads(text) == value


def test_json_output_keeps_raw_parts_byte_for_byte() -> None:
    assert ascii_json({"raw": msgspec.Raw(b'{"b":1e2,"a":-0}')}) == '{"raw":{"b":1e2,"a":-0}}'


def test_with_json_nothing_but_the_document_reaches_standard_output() -> None:
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(json=True, out=out, err=err)
    show_task(screen, task("x"))
    screen.table(("A", "B"), [("a", "b")], "none")
    screen.line("x")
    screen.heading("x")
    screen.status("ok", "x")
    assert out.getvalue() == ""
    screen.document({"a": "\u202e"})
    assert out.getvalue() == '{"a":"\\u202e"}\n'


def test_an_error_with_hostile_words_is_two_lines_of_ours() -> None:
    err = io.StringIO()
    tell(
        Screen(json=False, err=err),
        Fault(code="x\ny", message="a\x1b[2J\nok", advice="do\r\nthis", where="\u202e"),
    )
    require_tame(err.getvalue())
    assert [line.split(":")[0] for line in err.getvalue().splitlines()] == ["error", "what to do"]


def test_an_error_with_json_is_one_document_on_standard_error() -> None:
    out, err = io.StringIO(), io.StringIO()
    tell(Screen(json=True, out=out, err=err), Fault(code="x", message="m", advice="a"))
    assert json.loads(err.getvalue()) == {"is": "fault", "code": "x", "message": "m", "advice": "a"}
    assert out.getvalue() == ""


def test_color_needs_a_terminal(window: Terminal) -> None:
    plain = io.StringIO()
    for out in (window, plain):
        Screen(json=False, out=out).status("bad", "x")
    assert SGR.search(window.getvalue())
    assert not SGR.search(plain.getvalue())


def test_no_color_takes_color_away(window: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen(json=False, out=window)
    screen.status("bad", "x")
    screen.table(("A", "B"), [("running", "x")], "none")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", window.getvalue())


def test_moments_are_utc_and_say_so() -> None:
    assert moment(1_700_000_000_000_000) == "2023-11-14T22:13:20Z"
    assert moment(0) == "never"
    assert moment(10**30) == "at no time"


def test_a_question_ends_in_one_space_that_is_not_made_visible() -> None:
    err = io.StringIO()
    Screen(json=False, err=err).ask("Go on? [y/N]")
    assert err.getvalue() == "Go on? [y/N] "


def test_a_long_text_is_broken_between_its_words_and_nothing_of_it_is_lost(window: Terminal) -> None:
    text = "a sentence of words that a person wrote, which is longer than the window is wide, and goes on"
    Screen(json=False, out=window).fields([("purpose", text)])
    lines = window.getvalue().removesuffix("\n").split("\n")
    assert len(lines) == 2
    assert "".join(line[9:] if number == 0 else line[4:] for number, line in enumerate(lines)) == text
    assert lines[0].endswith(" ")


def test_a_word_that_is_longer_than_the_window_is_broken_where_the_line_ends(window: Terminal) -> None:
    Screen(json=False, out=window).fields([("digest", "ab " + "f" * 100)])
    assert window.getvalue().split("\n")[0] == "digest  ab " + "f" * 49


@pytest.mark.parametrize("name", ["line", "note", "heading", "ask"])
def test_a043_a_sentence_that_quotes_somebody_starts_no_line_with_their_words(
    name: str, window: Terminal
) -> None:
    sentence = f"what they said is `{'x' * 70} state      completed`"
    getattr(Screen(json=False, out=window, err=window), name)(sentence)
    first, *others = SGR.sub("", window.getvalue()).rstrip().split("\n")
    assert first.startswith("what they said is ")
    assert others
    assert [line for line in others if not line.startswith("  ┊ ")] == []


def test_a_word_that_is_to_be_copied_is_left_whole(window: Terminal) -> None:
    screen = Screen(json=False, out=window)
    screen.word("log+1a36fe9f+" + "A" * 80)
    assert window.getvalue() == "log+1a36fe9f+" + "A" * 80 + "\n"


@pytest.mark.parametrize("text", ["state      completed" + "x" * 60, "\x1b[2J" + "x" * 80])
def test_a043_a_text_that_is_no_word_is_never_left_whole(text: str, window: Terminal) -> None:
    Screen(json=False, out=window).word(text)
    require_tame(window.getvalue())
    assert "\n  ┊ " in SGR.sub("", window.getvalue())


@pytest.mark.parametrize(("columns", "ends"), [(80, "2026-11-24T19:50:16Z"), (72, "11-24 19:50Z")])
def test_a_table_of_tasks_fits_into_a_narrow_window(
    columns: int, ends: str, window: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    whole = "2026-11-24T19:50:16Z"
    rows = [(f"tsk_{'a2' * 17}b", "assistant", "completed", whole, 1000, "look for the bug in the parser")]
    heads = ("TASK", "AGENT", "STATE", "ENDS", "ACTIONS", "PURPOSE")
    Screen(json=False, out=window).table(heads, rows, "none")
    lines = SGR.sub("", window.getvalue()).removesuffix("\n").split("\n")
    assert [len(line) <= columns for line in lines] == [True, True]
    assert lines[1].startswith(f"tsk_~2a2a2a2b  assistant  completed  {ends}  1000     look for")
    assert lines[1].endswith("…")


def test_a_table_that_has_room_shortens_nothing(window: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    row = (f"tsk_{'a2' * 17}b", "2026-11-24T19:50:16Z", "argument-not-covered", "x")
    Screen(json=False, out=window).table(("TASK", "ENDS", "REASON", "TOOL"), [row], "none")
    assert SGR.sub("", window.getvalue()).split("\n")[1].split() == list(row)


@pytest.mark.parametrize(("columns", "marks"), [(80, 0), (60, 1), (50, 1)])
def test_a_long_cell_is_shortened_no_more_than_is_needed(
    columns: int, marks: int, window: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    name = "everything__get-resource-reference"
    rows = [(name, "read", "pinned", "what it does"), ("fs__read", "read", "pinned", "reads")]
    Screen(json=False, out=window).table(("TOOL", "EFFECT", "STATE", "DESCRIPTION"), rows, "-")
    _, first, second = SGR.sub("", window.getvalue()).removesuffix("\n").split("\n")
    assert (first.count("~"), name in first) == (marks, not marks)
    assert len(first) == columns if marks else len(first) < columns
    assert second.startswith("fs__read ")


def test_first_cells_that_would_look_alike_are_shown_whole(
    window: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    names = [f"everything__get-resource-{one}" for one in ("links", "reference")]
    rows = [(name, "read", "pinned", "what it does") for name in names]
    Screen(json=False, out=window).table(("TOOL", "EFFECT", "STATE", "DESCRIPTION"), rows, "-")
    text = SGR.sub("", window.getvalue())
    assert all(name in text for name in names)


def test_tabs_that_a_file_is_indented_with_are_shown_as_an_indentation(window: Terminal) -> None:
    Screen(json=False, out=window).changes(['+\t\t\t\t"a": "b\t\u202e"', " \t  x"])
    assert SGR.sub("", window.getvalue()).splitlines() == ['  +        "a": "b\\t\\u{202E}"', "       x"]


def test_long_cells_are_shortened_last_and_an_id_is_never_made_shorter_than_it_can_be_typed(
    window: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "76")
    row = (f"tsk_{'a2' * 17}b", "assistant-for-books", "completed", "2026-11-24T19:50:16Z", 1000, "look")
    Screen(json=False, out=window).table(("TASK", "AGENT", "STATE", "ENDS", "ACTIONS", "PURPOSE"), [row], "-")
    line = SGR.sub("", window.getvalue()).split("\n")[1]
    assert line == "tsk_~2a2a2a2b  assistant-fo~  completed  11-24 19:50Z  1000     look"


@pytest.mark.parametrize("kind", ["apr", "key"])
def test_an_id_that_is_only_taken_whole_is_shown_whole(
    window: Terminal, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    row = (
        f"{kind}_{'a2' * 17}b",
        "assistant-for-books",
        "pending",
        "2026-11-24T19:50:16Z",
        1000,
        "look at it",
    )
    Screen(json=False, out=window).table(("ID", "AGENT", "STATE", "ENDS", "ACTIONS", "PURPOSE"), [row], "-")
    assert row[0] in SGR.sub("", window.getvalue())


def test_lines_that_are_there_to_be_copied_are_whole_and_obey_nothing() -> None:
    out = io.StringIO()
    screen = Screen(json=False, out=out)
    screen.text('a:\n  b: "\\u202e" ' + "long " * 40 + "end\n\x1b[2J\u202e\n")
    first, second, third = out.getvalue().splitlines()
    assert first == "a:"
    assert second == '  b: "\\u202e" ' + "long " * 40 + "end"
    assert third == "\\u{1B}[2J\\u{202E}"
    Screen(json=True, out=out).text("more")
    assert "more" not in out.getvalue()


def test_a043_a_first_cell_imitates_no_columns() -> None:
    out = io.StringIO()
    forged = "backup    everything  others"
    Screen(json=False, out=out).table(("NAME", "REACH", "RIGHTS"), [(forged, "data", "none")], "-")
    assert out.getvalue().splitlines()[1].split() == [
        "backup\\u{20x4}everything\\u{20x2}others",
        "data",
        "none",
    ]


@pytest.mark.parametrize("columns", ["200", "20"])
def test_a_last_cell_that_is_a_sentence_of_ours_keeps_the_escapes_that_it_has(
    window: Terminal, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    why = Words("the role `\\u{1B}` \x1b\u202e")
    Screen(json=False, out=window).table(("NAME", "WHY"), [("a" * 12, why)], "-")
    require_tame(window.getvalue())
    text = SGR.sub("", window.getvalue()).replace("\n  ┊ ", "").replace("\n", " ")
    assert "the role `\\u{1B}` \\u{1B}\\u{202E}" in text
