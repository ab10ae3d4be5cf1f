"""What Python shows of an error of ours, and what it leaves as it was given."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest

from taskbound.core.errors import DeniedError, TaskboundError
from taskbound.sdk.guard.errors import HeldError, NarrowedError, RefusedError, UnpinnedToolError

HOSTILE = "gone\x1b[2J\nTraceback: all is well\u202e"
VISIBLE = r"gone\u{1B}[2J\nTraceback: all is well\u{202E}"


class TornError(DeniedError):
    """The page is torn."""

    code = "torn"
    remedy = "mend it"


def shown(error: BaseException) -> list[str]:
    """What a traceback of it says below its frames."""
    return "".join(traceback.format_exception_only(error)).splitlines()


def test_a_traceback_says_what_is_wrong_where_and_what_to_do_a_line_each() -> None:
    name = f"{__name__}.TornError"
    assert shown(TornError("page 3 is torn")) == [f"{name}: page 3 is torn", "what to do: mend it [torn]"]
    assert shown(TornError("page 3 is torn", remedy="glue it", where="book:3")) == [
        f"{name}: page 3 is torn",
        "at `book:3`",
        "what to do: glue it [torn]",
    ]
    bare = TaskboundError("it ends")
    assert shown(bare) == ["taskbound.core.errors.TaskboundError: it ends", "[error]"]
    assert shown(TornError("it is [torn]")) == [f"{name}: it is [torn]", "what to do: mend it"]


def test_hostile_text_is_a_visible_line_of_a_traceback_and_of_a_note() -> None:
    error = TornError(HOSTILE, remedy=HOSTILE, where=HOSTILE)
    assert shown(error)[1:] == [f"at `{VISIBLE}`", f"what to do: {VISIBLE} [torn]"]
    assert (shown(error)[0], str(error)) == (f"{__name__}.TornError: {VISIBLE}", VISIBLE)
    assert (error.message, error.advice, error.where) == (HOSTILE,) * 3
    assert error.beside() == f"and {VISIBLE}; at `{VISIBLE}`; what to do: {VISIBLE} [torn]"


def test_what_is_escaped_already_is_not_escaped_again() -> None:
    assert str(TornError(r"no `a\u{1B}` here, nor \n")) == r"no `a\u{1B}` here, nor \n"


@pytest.mark.parametrize("seen", [0, 1, 2])
def test_notes_that_are_added_come_after_its_own_and_are_told_apart(seen: int) -> None:
    error = TornError("page 3 is torn")
    assert error.added_notes() == ()
    for _ in range(seen):
        assert shown(error)[1:] == ["what to do: mend it [torn]"]
    error.add_note("page 4 too")
    error.add_note("and page 5")
    assert shown(error)[1:] == ["what to do: mend it [torn]", "page 4 too", "and page 5"]
    error.where = "book:3"  # whoever points at the place may do it later
    assert error.added_notes() == ("page 4 too", "and page 5")


def test_a_refusal_says_the_daemons_code_and_remedy_whenever_it_is_looked_at() -> None:
    error = RefusedError("no", tool="notes__note", code="outside-scope", remedy="ask for less")
    assert shown(error)[1:] == ["what to do: ask for less [outside-scope]"]
    held = HeldError("held", tool="notes__note", code="held", remedy="tell them")
    held.approval = "apr_1"  # set once it is made
    assert shown(held)[1:] == [
        "what to do: tell them [held]",
        "how a person sees it: `taskbound approval show apr_1`",
    ]
    assert shown(HeldError("held", tool="notes__note"))[1:] == ["[call-held]"]
    unpinned = UnpinnedToolError("no such tool", tool="notes__note")
    assert shown(unpinned)[-1] == "how a person pins it: docs/guides/sdk.md, *Pinning it*"


def test_a_subclass_of_a_programs_own_that_makes_itself_otherwise_is_an_error_as_any() -> None:
    class OddError(TaskboundError):
        def __init__(self) -> None:
            Exception.__init__(self, "odd")

    error = OddError()
    assert shown(error)[1:] == []
    error.add_note("very")
    assert shown(error)[1:] == ["very"]


def test_a_class_has_no_notes_and_two_errors_share_none() -> None:
    assert not hasattr(TornError, "__notes__")
    one, two = TornError("one"), TornError("two")
    one.add_note("more")
    assert two.added_notes() == ()
    assert two.__notes__ == ["what to do: mend it [torn]"]


def test_an_error_is_itself_in_another_process_and_in_a_copy() -> None:
    error = NarrowedError(
        "less",
        tool="notes__spend",
        code="narrowed",
        remedy="ask for it",
        action="act_1",
        reasons=(("a", "b"),),
    )
    error.arguments = {"amount": 20}
    error.add_note("more")
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own
        assert type(same) is NarrowedError
        assert (str(same), same.code, same.remedy, same.advice) == (
            "less",
            "narrowed",
            "ask for it",
            "ask for it",
        )
        assert (same.tool, same.action, same.reasons, same.arguments) == (
            "notes__spend",
            "act_1",
            (("a", "b"),),
            {"amount": 20},
        )
        assert shown(same) == shown(error)
