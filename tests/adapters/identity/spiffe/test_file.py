from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from taskbound.adapters.identity.spiffe.file import FileBundles
from taskbound.core.clock import seconds
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.trust import (
    BadBundleError,
    Bundle,
    BundleSizeError,
    ForeignAuthorityError,
    Trust,
    TrustFileError,
    parse_bundle,
    parse_trust,
)
from tests.peers.domain import Domain

CORP, OTHER = Domain("corp.example"), Domain("other.example")


def trust(path: Path) -> Trust:
    return parse_trust("default", "corp.example", source="file", place=str(path))


def write(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    path.chmod(0o644)


async def first(of: Trust) -> Bundle:
    async with aclosing(FileBundles(look=0.01).states(of)) as states:
        return await anext(states)


def test_a_file_is_read_again_when_it_is_another_one_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "corp.json"
    write(path, CORP.bundle())

    async def story() -> None:
        async with aclosing(FileBundles(look=0.01).states(trust(path))) as states:
            assert (await anext(states)).x509 == (CORP.authority.der,)
            root = CORP.root()
            fresh = tmp_path / "fresh"
            write(fresh, CORP.bundle(root))
            fresh.replace(path)
            assert (await anext(states)).x509 == (root.der,)
            path.write_bytes(CORP.bundle(keys=[]))
            assert await anext(states) == parse_bundle(CORP.bundle(keys=[]))
            path.write_bytes(CORP.bundle()[:100])
            with pytest.raises(BadBundleError):
                await anext(states)

    asyncio.run(story())


def test_the_same_file_is_confirmed_again_before_its_bundle_could_become_stale(tmp_path: Path) -> None:
    path = tmp_path / "corp.json"
    write(path, CORP.bundle())

    async def story() -> None:
        async with aclosing(FileBundles(look=0.01).states(replace(trust(path), bound=seconds(2)))) as states:
            async with asyncio.timeout(30):
                assert [await anext(states) for _ in range(3)] == [parse_bundle(CORP.bundle())] * 3

    asyncio.run(story())


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", BadBundleError),
        (b"{}", BadBundleError),
        (b"null", BadBundleError),
        (CORP.bundle()[:-1], BadBundleError),
        (CORP.bundle() + b"{}", BadBundleError),
        (b" " * 262_145, BundleSizeError),
        (OTHER.bundle(), ForeignAuthorityError),
        (CORP.bundle(CORP.svid()), BadBundleError),
    ],
    ids=["empty", "no keys", "null", "cut off", "two", "too large", "another domain's", "no authority"],
)
def test_what_is_no_bundle_of_the_domain_is_refused(
    tmp_path: Path, raw: bytes, error: type[TaskboundError]
) -> None:
    path = tmp_path / "corp.json"
    write(path, raw)
    with pytest.raises(error):
        asyncio.run(first(trust(path)))


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_could_have_written_is_not_believed(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "corp.json"
    write(path, CORP.bundle())
    path.chmod(mode)
    with pytest.raises(TrustFileError, match="could have written"):
        asyncio.run(first(trust(path)))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another account")
def test_a_file_of_another_account_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "corp.json"
    write(path, CORP.bundle())
    os.chown(path, 12_345, 12_345)
    with pytest.raises(TrustFileError, match="could have written"):
        asyncio.run(first(trust(path)))


def test_what_is_no_file_is_refused_and_waits_for_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    for name in ("pipe", "folder", "nothing"):
        with pytest.raises(TrustFileError):
            asyncio.run(first(trust(tmp_path / name)))
