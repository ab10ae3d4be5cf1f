"""How servers are pinned: their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.cli.installation import Installation


def test_the_limits_of_a_server_are_pinned_and_listed(place: Installation) -> None:
    words = ("--limit", "memory=1GiB", "--limit", "files=256", "--", *place.server)
    added = place("upstream", "add", "bounded", *words)
    assert added.status == 0, added
    assert "files=256 memory=1GiB" in place("upstream", "list").out
    rows = place("upstream", "list", "--json").document["rows"]
    (row,) = [one for one in rows if one["spec"]["name"] == "bounded"]
    assert row["spec"]["limits"] == [["files", 256], ["memory", 1 << 30]]
    assert place("upstream", "remove", "bounded", "--yes").status == 0
    for wrong in ("memory=lots", "stack=8MiB"):
        refused = place("upstream", "add", "bounded", "--limit", wrong, "--", *place.server)
        assert (refused.status, "[bad-server-limit]" in refused.err) == (2, True), refused.err


def test_a_server_is_looked_at_under_its_limits(place: Installation, tmp_path: Path) -> None:
    script = tmp_path / "large.py"
    needs = "import runpy, sys\nheld = bytearray(100 << 20)\ndel sys.argv[0]\n"
    needs += "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    script.write_text(needs, encoding="utf-8")
    command = (place.server[0], str(script), *place.server[1:])
    small = place("upstream", "add", "large", "--limit", "memory=64MiB", "--", *command)
    assert (small.status, "[start-failed]" in small.err) == (4, True), small.err
    assert place("upstream", "add", "large", "--limit", "memory=256MiB", "--", *command).status == 0
    assert place("upstream", "remove", "large", "--yes").status == 0
