"""Rules about what must not get in: stray hosts, paths of the machine at hand, links that lead nowhere."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import Finding, files, relative

HOSTS = "tests/house/hosts.txt"
_HOST = re.compile(
    r"(?<![\w@./-])((?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:com|org|net|io|dev|ai|eu|cloud|sh))(?![\w-])(?!\.\w)",
    re.IGNORECASE,
)
_URL_HOST = re.compile(r"\b(?:https?|wss?|git|ssh|ftp)://(?:[^/@\s\"'`]*@)?([A-Za-z0-9][A-Za-z0-9.-]*)")
_RESERVED = re.compile(r"(^|\.)(example(\.(com|org|net))?|test|invalid|localhost)$")
_LOOPBACK = re.compile(r"^127\.\d+\.\d+\.\d+$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|!\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"`[^`\n]*`")
_NOT_TEXT = frozenset({".png", ".jpg", ".ico", ".db", ".gz", ".zip", ".woff2"})


def allowed_hosts(root: Path) -> frozenset[str]:
    """The hosts that the tree may name, each with its reason in the file."""
    page = root / HOSTS
    lines = page.read_text(encoding="utf-8").splitlines() if page.exists() else []
    return frozenset(line.split("#", 1)[0].strip() for line in lines) - {""}


def no_stray_hosts(root: Path) -> Iterator[Finding]:
    """Every host that the tree names is reserved for examples, or on the list with a reason."""
    allowed = allowed_hosts(root)
    for path, text in _texts(root, allowed):
        name = relative(path, root)
        if name == HOSTS:
            continue
        for number, line in text:
            for host in sorted(_strange_hosts(line, allowed)):
                yield Finding(
                    rule="no-stray-hosts",
                    path=name,
                    line=number,
                    name=host,
                    sentence=f"nobody allowed the host `{host}`: use example.com, or list it in {HOSTS}",
                )


def _strange_hosts(text: str, allowed: frozenset[str]) -> frozenset[str]:
    named = {one.lower().rstrip(".") for one in (*_HOST.findall(text), *_URL_HOST.findall(text))} - allowed
    return frozenset(
        one for one in named if "." in one and not _RESERVED.search(one) and not _LOOPBACK.match(one)
    )


def machine_paths(root: Path, home: Path) -> frozenset[str]:
    """The paths that tell whose machine this is: the checkout, the folder it lies in, the home directory."""
    ordinary = {"/", "/home", "/opt", "/srv", "/tmp", "/usr/src", "/var/tmp"}  # noqa: S108 - compared, not used
    return frozenset({str(root), str(root.parent), str(home)} - ordinary)


def no_machine_paths(root: Path, *, own: frozenset[str] | None = None) -> Iterator[Finding]:
    """No file names a path of the machine that it was written on."""
    paths = machine_paths(root, Path.home()) if own is None else own
    pattern = re.compile(
        "|".join(rf"(?<![\w.-]){re.escape(one)}(?=/)" for one in sorted(paths, key=len, reverse=True))
        or r"(?!)"
    )
    for path in files(root):
        for number, line in _lines(path):
            if (seen := pattern.search(line)) is not None:
                yield Finding(
                    rule="no-machine-paths",
                    path=relative(path, root),
                    line=number,
                    name=seen[0],
                    sentence=f"`{seen[0]}` is a path of this machine: find it from a setting, or make one up",
                )


def links_resolve(root: Path) -> Iterator[Finding]:
    """Every relative link of a page leads to a file of the tree, and to a heading of it."""
    for path in files(root, ".md"):
        for number, target in relative_links(path):
            place, _, anchor = target.partition("#")
            page = path if not place else (path.parent / place)
            if not page.exists():
                sentence = f"the link to `{target}` leads nowhere: mend it"
            elif anchor and page.suffix == ".md" and anchor not in _anchors(page):
                sentence = f"the page has no heading `#{anchor}`: mend the link to `{target}`"
            else:
                continue
            yield Finding(
                rule="links-resolve",
                path=relative(path, root),
                line=number,
                name=target,
                sentence=sentence,
            )


def relative_links(page: Path) -> Iterator[tuple[int, str]]:
    """The line and target of each link and picture of a page, other than those with a scheme."""
    prose = _without_code(page.read_text(encoding="utf-8"))
    for one in _LINK.finditer(prose):
        target = one[1] or one[2]
        if not re.match(r"[a-z][a-z0-9+.-]*:", target):
            yield prose.count("\n", 0, one.end()) + 1, target


def _without_code(text: str) -> str:
    text = _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), text)
    return _INLINE_CODE.sub("", text)


def _anchors(page: Path) -> frozenset[str]:
    titles = re.findall(r"^#+ +(.+?) *$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles)


def _texts(root: Path, allowed: frozenset[str]) -> Iterator[tuple[Path, list[tuple[int, str]]]]:
    """Every file's lines; of Python only strings and comments, since a dotted name elsewhere is code."""
    for path in files(root):
        if path.suffix == ".py":
            source = path.read_text(encoding="utf-8")
            yield path, _spoken(source) if _strange_hosts(source, allowed) else []
        else:
            yield path, _lines(path)


def _lines(path: Path) -> list[tuple[int, str]]:
    if path.suffix in _NOT_TEXT:
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    return list(enumerate(text.splitlines(), start=1))


def _spoken(source: str) -> list[tuple[int, str]]:
    kinds = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    return [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type in kinds
    ]
