from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from taskbound.core.tool import BadServerError, PinnedFile, ServerIdentity

HASH = "0" * 63 + "a"
OTHER = "0" * 63 + "b"


def identity(**changes: Any) -> ServerIdentity:
    fields: dict[str, Any] = {
        "namespace": "default",
        "command": "/venv/bin/python",
        "resolved": "/usr/bin/python3.11",
        "sha256": HASH,
        "files": (PinnedFile(path="/srv/server.py", sha256=HASH),),
        "arguments": ("/srv/server.py", "--ro"),
        "environment": (("A", "1"), ("B", "2")),
        "directory": "/srv",
        "lock": "",
    }
    return ServerIdentity(**{**fields, **changes})


def test_two_descriptions_of_one_start_have_one_digest() -> None:
    assert identity().digest == identity().digest
    assert len(identity().digest) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"namespace": "other"},
        {"command": "/venv/bin/python3"},
        {"resolved": "/usr/bin/python3.12"},
        {"sha256": OTHER},
        {"files": ()},
        {"files": (PinnedFile(path="/srv/server.py", sha256=OTHER),)},
        {"files": (PinnedFile(path="/srv/other.py", sha256=HASH),)},
        {"arguments": ("/srv/server.py",)},
        {"arguments": ("/srv/server.py --ro",)},
        {"arguments": ("--ro", "/srv/server.py")},
        {"environment": (("A", "1"),)},
        {"environment": (("A", "1"), ("B", "3"))},
        {"environment": (("A", "1"), ("C", "2"))},
        {"directory": "/"},
        {"lock": "uvx: mcp-server-git==2026.10.19"},
    ],
)
def test_a170_another_start_has_another_digest(change: dict[str, Any]) -> None:
    assert identity(**change).digest != identity().digest


def test_a_digest_is_pinned_so_that_no_release_changes_it_unseen() -> None:
    assert identity().digest == "aac32f142e3b6263751eaa5384a9b56fcb51c62774281e2942d411d986f721c0"


@pytest.mark.parametrize(
    "change",
    [
        {"command": "python"},
        {"command": "bin/python"},
        {"command": "/usr/bin/../bin/python"},
        {"command": "/usr//bin/python"},
        {"command": "/usr/bin/"},
        {"command": "/usr/bin/py\0thon"},
        {"resolved": ""},
        {"directory": ""},
        {"directory": "srv"},
        {"sha256": HASH.upper()},
        {"sha256": HASH[:-1]},
        {"sha256": HASH + "\n"},
        {"arguments": ("a\0b",)},
        {"arguments": ("a" * 200_000,)},
        {"arguments": ("a",) * 2_000},
        {"environment": (("B", "2"), ("A", "1"))},
        {"environment": (("A", "1"), ("A", "1"))},
        {"environment": (("A=B", "1"),)},
        {"environment": (("", "1"),)},
        {"environment": (("A", "1\0"),)},
        {"environment": (("LD_PRELOAD", "/srv/x.so"),)},
        {"environment": (("BASH_ENV", "/srv/x"),)},
        {"files": (PinnedFile(path="/b", sha256=HASH), PinnedFile(path="/a", sha256=HASH))},
    ],
)
def test_a_server_that_is_not_written_out_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BadServerError):
        identity(**change)


def test_a_pinned_file_without_an_absolute_path_or_a_hash_is_refused() -> None:
    with pytest.raises(BadServerError):
        PinnedFile(path="server.py", sha256=HASH)
    with pytest.raises(BadServerError):
        PinnedFile(path="/server.py", sha256="x")


def test_a_directory_at_the_root_is_a_plain_path() -> None:
    assert identity(directory="/").directory == "/"


def test_a_digest_is_computed_again_for_a_changed_copy() -> None:
    assert replace(identity(), lock="x").digest == identity(lock="x").digest
