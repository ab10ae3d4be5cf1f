from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.adapters.upstream.mcp.errors import FloatingVersionError, UnpinnableError
from taskbound.adapters.upstream.mcp.pin import lock_of
from taskbound.core.errors import MalformedError

DIGEST = "a" * 64
COMMIT = "b" * 40


@pytest.mark.parametrize(
    ("line", "lock"),
    [
        ("uvx mcp-server-git==2026.10.19", "uvx: mcp-server-git==2026.10.19"),
        ("uvx mcp-server-git@1.2.3 --repository .", "uvx: mcp-server-git@1.2.3"),
        ("uvx --from mcp-server==1.0 server --x", "uvx: mcp-server==1.0"),
        ("uvx --from=mcp-server==1.0 server", "uvx: mcp-server==1.0"),
        ("uvx -q --python 3.12 --with httpx==1.0 a==2", "uvx: httpx==1.0 a==2"),
        (f"uvx git+https://example.com/x@{COMMIT}", f"uvx: git+https://example.com/x@{COMMIT}"),
        ("uv tool run a[cli]==1.0rc1", "uv tool run: a[cli]==1.0rc1"),
        ("uv x a==1.0", "uv x: a==1.0"),
        ("npx -y @scope/pkg@1.2.3 --flag", "npx: @scope/pkg@1.2.3"),
        ("npx --yes pkg@1.2.3-beta.1", "npx: pkg@1.2.3-beta.1"),
        ("npx -p pkg@1.2.3 cmd", "npx: pkg@1.2.3"),
        ("npx -p a@1.2.3 -p b@4.5.6 cmd", "npx: a@1.2.3 b@4.5.6"),
        ("npm exec -- pkg@1.2.3", "npm exec: pkg@1.2.3"),
        ("bunx pkg@1.2.3", "bunx: pkg@1.2.3"),
        ("pnpm dlx pkg@1.2.3", "pnpm dlx: pkg@1.2.3"),
        ("npx-cli.js -y pkg@1.2.3", "npx: pkg@1.2.3"),
        ("pipx run pkg==1.2", "pipx run: pkg==1.2"),
        ("pipx run --spec pkg==1.2 cmd", "pipx run: pkg==1.2"),
        ("deno run --allow-net npm:pkg@1.2.3", "deno: pkg@1.2.3"),
        (
            f"docker run -i --rm -e A=1 -v /a:/b img/x@sha256:{DIGEST} serve",
            f"docker run: img/x@sha256:{DIGEST}",
        ),
        ("uv run --frozen server.py", "uv run: as uv.lock says"),
        ("uv --directory /srv run --locked server", "uv run: as uv.lock says"),
    ],
)
def test_an_exact_version_is_the_lock(line: str, lock: str) -> None:
    program, *arguments = line.split()
    found = lock_of(program, arguments)
    assert found.replace("npm:", "").startswith(lock)


@pytest.mark.parametrize(
    "line", ["python server.py", "node x.js", "mcp-server-git", "/x", "bash script", "deno run x.ts"]
)
def test_a_program_of_its_own_needs_no_lock(line: str) -> None:
    program, *arguments = line.split()
    assert lock_of(program, arguments) == ""


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("uvx mcp-server-git", "uvx PACKAGE==1.2.3"),
        ("uvx mcp-server-git@latest", "uvx PACKAGE==1.2.3"),
        ("uvx mcp-server-git>=1.0", "uvx PACKAGE==1.2.3"),
        ("uvx mcp-server-git==1.*", "uvx PACKAGE==1.2.3"),
        ("uvx --from mcp-server cmd==1.0", "uvx PACKAGE==1.2.3"),
        ("uvx --with httpx a==1.0", "uvx PACKAGE==1.2.3"),
        ("uvx ./local", "uvx PACKAGE==1.2.3"),
        ("uvx git+https://example.com/x", "uvx PACKAGE==1.2.3"),
        ("uvx git+https://example.com/x@main", "uvx PACKAGE==1.2.3"),
        ("uvx", "uvx PACKAGE==1.2.3"),
        ("uvx -q", "uvx PACKAGE==1.2.3"),
        ("uv tool run a", "uvx PACKAGE==1.2.3"),
        ("npx pkg", "npx -y PACKAGE@1.2.3"),
        ("npx pkg@latest", "npx -y PACKAGE@1.2.3"),
        ("npx pkg@^1.2.3", "npx -y PACKAGE@1.2.3"),
        ("npx pkg@1.2", "npx -y PACKAGE@1.2.3"),
        ("npx @scope/pkg", "npx -y PACKAGE@1.2.3"),
        ("npx -p pkg cmd@1.2.3", "npx -y PACKAGE@1.2.3"),
        ("npx ./dir", "npx -y PACKAGE@1.2.3"),
        ("npx https://example.com/x.tgz", "npx -y PACKAGE@1.2.3"),
        ("bunx pkg", "npx -y PACKAGE@1.2.3"),
        ("pipx run pkg", "pipx run PACKAGE==1.2.3"),
        ("docker run img", "docker run -i --rm IMAGE@sha256:DIGEST"),
        ("docker run -i --rm img:1.2.3", "docker run -i --rm IMAGE@sha256:DIGEST"),
        ("docker run -i --rm img:latest", "docker run -i --rm IMAGE@sha256:DIGEST"),
        ("deno run https://example.com/x.ts", "deno run npm:PACKAGE@1.2.3"),
        ("deno run npm:pkg", "deno run npm:PACKAGE@1.2.3"),
        ("uv run server.py", "uv run --frozen"),
        ("uv run server.py --frozen", "uv run --frozen"),
    ],
)
def test_a_floating_version_is_refused_and_told_how_to_lock_it(line: str, advice: str) -> None:
    program, *arguments = line.split()
    with pytest.raises(FloatingVersionError) as caught:
        lock_of(program, arguments)
    assert advice in caught.value.advice


@pytest.mark.parametrize(
    "line",
    [
        "env A=1 npx pkg",
        "sudo x",
        "timeout 5 x",
        "xargs x",
        "sh -c x",
        "bash -lc x",
        "zsh -ic x",
        "uvx --unknown x a==1.0",
        "uvx --with-requirements r.txt a==1.0",
        "npx -c x",
        "npx --call=x pkg@1.2.3",
        "npx --unknown pkg@1.2.3",
        "npx --yes=x pkg@1.2.3",
        "docker run --unknown img",
        "docker run -d img",
        "docker compose up",
        "npm run x",
        "yarn x",
        "uv pip install x",
        "uv run --with x --frozen y",
        "uv --unknown run y",
        "pipx install x",
    ],
)
def test_a_command_that_hides_what_runs_is_refused(line: str) -> None:
    program, *arguments = line.split()
    with pytest.raises(UnpinnableError):
        lock_of(program, arguments)


PROGRAMS = st.sampled_from(["uvx", "npx", "pipx", "docker", "uv", "bunx", "npm", "deno"])
WORD = st.sampled_from(
    [
        "-y",
        "-p",
        "--from",
        "--with",
        "run",
        "tool",
        "--",
        "a==1",
        "a@1.2.3",
        "a",
        "a@latest",
        "-e",
        "--rm",
        "--x=y",
        "npm:a",
    ]
)


@given(PROGRAMS, st.lists(WORD, max_size=6))
def test_whatever_a_runner_is_given_is_locked_or_refused(program: str, words: list[str]) -> None:
    try:
        lock = lock_of(program, words)
    except MalformedError as error:
        assert error.advice  # noqa: PT017 -- that it is refused is one of the two answers
        return
    floating = {"a", "a@latest", "npm:a"}
    assert not floating.intersection(lock.partition(";")[0].split())
    assert lock or program == "deno"
