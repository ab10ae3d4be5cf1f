from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.house.tree import ROOT

if TYPE_CHECKING:
    from tests.surfaces.cli.installation import Ended, Installation

HEAD = 'print("loaded")\nfrom taskbound import guard\n'
ONE = '@guard(server="notes", effect="write")\ndef note(text: str) -> str:\n    return text\n'
OTHER = '@guard(server="mail")\ndef send(text: str) -> str:\n    return text\n'


def pin(place: Installation, *words: str) -> Ended:
    return place("tool", "pin", *words, PYTHONPATH=str(ROOT / "src"))


def test_functions_of_a_file_are_pinned_by_one_command(place: Installation) -> None:
    (place.project / "notes.py").write_text(HEAD + ONE)
    done = pin(place, "notes.py")
    assert done.status == 0, done
    rows = place("tool", "list", "--server", "notes", "--json").document["rows"]
    assert [one["name"] for one in rows] == ["notes__note"]
    (row,) = [
        one["spec"]
        for one in place("upstream", "list", "--json").document["rows"]
        if one["spec"]["name"] == "notes"
    ]
    assert row["arguments"] == [str(place.project / "notes.py")]
    assert pin(place, "notes:note").status == 2, "that is one of its functions, and no module"


@pytest.mark.parametrize(("name", "server"), [("several", "mail"), ("./several.py", "post")])
def test_module_or_file_with_several_servers_needs_the_name_of_one(
    place: Installation, name: str, server: str
) -> None:
    (place.project / "several.py").write_text(HEAD + ONE + OTHER.replace("mail", server))
    several = pin(place, name)
    assert (
        several.status,
        f"{min(server, 'notes')}, {max(server, 'notes')}" in several.err,
        "--server" in several.err,
    ) == (2, True, True)
    done = pin(place, name, "--server", server, "--python", sys.executable)
    assert done.status == 0, done
    assert [one["name"] for one in place("tool", "list", "--server", server, "--json").document["rows"]] == [
        f"{server}__send"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "no server"), ("raise SystemExit(3)", "SystemExit"), ("import nothing_there", "nothing_there")],
)
def test_file_that_has_no_functions_or_cannot_be_loaded_is_refused_with_the_reason(
    place: Installation, text: str, said: str
) -> None:
    (place.project / "bad.py").write_text(text)
    done = pin(place, "bad.py")
    assert (done.status, said in done.err) == (2, True), done
