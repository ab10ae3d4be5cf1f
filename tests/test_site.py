"""The site of the documentation: its navigation, its pages for Python-Markdown, and what it loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dev import site
from tests.house.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = [one for one in site.collect(ROOT) if one.endswith(".md")]


def plant(root: Path, **pages: str) -> None:
    for name, text in pages.items():
        path = root / f"{name.replace('__', '/')}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def leaves(nav: site.Nav) -> Iterator[str]:
    for one in nav:
        for part in (one,) if isinstance(one, str) else one.values():
            yield from (part,) if isinstance(part, str) else leaves(part)


def test_index_lists_every_page_once() -> None:
    assert sorted(leaves(site.navigation(ROOT))) == PAGES


def test_navigation_follows_headings_and_lists(tmp_path: Path) -> None:
    plant(
        tmp_path,
        docs__README="## One\n- [A](a.md): [b](b.md)\n### Two\n- [D](adr/README.md)\n## II\n- [C](../C.md)\n",
        docs__adr__README="- [0001: x](0001.md)\n## By word\n| [0001](0001.md) |\n",
    )
    adr: site.Nav = ["docs/adr/README.md", {"0001: x": "docs/adr/0001.md"}]
    first: site.Nav = [{"Taskbound": "README.md"}, {"All pages": "docs/README.md"}, {"A": "docs/a.md"}]
    assert site.navigation(tmp_path) == [{"One": [*first, {"Two": [{"D": adr}]}]}, {"II": [{"C": "C.md"}]}]


def test_site_has_pages_of_docs_and_what_they_link_to(tmp_path: Path) -> None:
    plant(
        tmp_path,
        README="![a\nb](b.svg) [c](C.md#d)\n",
        C="",
        D="",
        docs__e="[f](../f/g.md) [h](h)\n",
        f__g="",
    )
    (tmp_path / "b.svg").touch()
    (tmp_path / "docs" / "h").mkdir()
    assert site.collect(tmp_path) == ["C.md", "README.md", "b.svg", "docs/e.md", "f/g.md"]


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        ("- a\n  b\n\n  c\n- d\n\ne\n", "- a\n    b\n\n    c\n\n- d\n\ne\n"),
        ("- a\n  - b\n- c\n", "- a\n    - b\n- c\n"),
        (
            "1. a\n\n   ```sh x.py\n   b\n     c\n   ```\n",
            '1. a\n\n    ```sh title="x.py"\n    b\n      c\n    ```\n',
        ),
        ("a\n- b\n", "a\n\n- b\n"),
        ("a\n1. b\n", "a\n\n1. b\n"),
        ("of\n2026. And\n", "of\n2026. And\n"),
        ("```\n$ a\n- b\n```\n", "```console\n$ a\n- b\n```\n"),
        ("```\na\n$ b\n```\n", "```\na\n$ b\n```\n"),
        ("````md\n```\n- a\n```\n````\n- b\n", "````md\n```\n- a\n```\n````\n\n- b\n"),
    ],
)
def test_pages_are_rewritten_for_python_markdown(text: str, rewritten: str) -> None:
    assert site.for_mkdocs(text) == rewritten


@pytest.mark.parametrize(
    ("name", "outside", "own"),
    [
        ("a.html", '<script src="//a.example/b.js">', '<script src="b.js">'),
        ("a.html", '<img srcset="b.png, https://a.example/b.png 2x">', '<img srcset="b.png, c.png 2x">'),
        ("a.html", '<link rel="stylesheet" href="HTTPS://a.example/b.css">', '<a href="https://a.example/">'),
        ("a.html", '<p style="background: url( http://a.example/b)">', "<p>url(http://a.example/b)"),
        ("a.html", "<style>@import 'https://a.example/b.css'</style>", "<style>@import 'b.css'</style>"),
        ("a.css", 'a { src: url("//a.example/b.woff2") }', "a { src: url(data:font/woff2;base64,//8) }"),
    ],
)
def test_load_from_another_host_is_found(tmp_path: Path, name: str, outside: str, own: str) -> None:
    (tmp_path / name).write_text(own, encoding="utf-8")
    assert list(site.loads_from_outside(tmp_path)) == []
    (tmp_path / name).write_text(outside, encoding="utf-8")
    assert [one.split(" loads ")[0] for one in site.loads_from_outside(tmp_path)] == [name]


def test_folder_with_other_files_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").touch()
    assert site.main([str(tmp_path)]) == 1
    assert "name an empty folder" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]
