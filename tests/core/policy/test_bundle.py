from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.policy import (
    BadBundleError,
    DamagedBundleError,
    bundle_digest,
    pack,
    require_names,
    require_own,
    text_of,
    unpack,
    whole,
)

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}\.cedar", fullmatch=True)
FILES = st.dictionaries(NAMES, st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4)


@given(FILES, FILES)
def test_two_bundles_have_one_digest_only_when_names_and_texts_are_the_same(
    one: dict[str, str], other: dict[str, str]
) -> None:
    assert (bundle_digest(pack(one)) == bundle_digest(pack(other))) == (one == other)
    assert bundle_digest(pack(one)) == bundle_digest(pack(dict(reversed(one.items()))))


@given(FILES)
def test_a_kept_bundle_is_read_back_as_it_was(files: dict[str, str]) -> None:
    archive = pack(files)
    assert unpack(archive, bundle_digest(archive)) == files


@given(FILES, st.data())
def test_f37_a_bundle_that_was_kept_half_or_changed_is_refused_by_name(
    files: dict[str, str], data: st.DataObject
) -> None:
    archive = pack(files)
    digest = bundle_digest(archive)
    at = data.draw(st.integers(0, len(archive) - 1))
    for damaged in (archive[:at], archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1 :], b""):
        with pytest.raises(DamagedBundleError, match=digest):
            unpack(damaged, digest)


def test_bytes_that_fit_their_digest_and_are_no_bundle_are_refused() -> None:
    for archive in (b"[]", b'{"files":[],"version":1}', b'{"files":{},"version":2}', b"{"):
        with pytest.raises(DamagedBundleError):
            unpack(archive, bundle_digest(archive))


@pytest.mark.parametrize(
    "name",
    ["", "A.cedar", "a.CEDAR", "a", ".cedar", "a/b.cedar", "../a.cedar", "ä.cedar", "\u0430.cedar",
     "a b.cedar", "a.cedar\n", "base.cedar", f"{'a' * 95}.cedar", "-a.cedar"],
)  # fmt: skip  # names read better side by side
def test_a_name_that_could_be_taken_for_another_is_no_name_of_a_file(name: str) -> None:
    require_names({"a.cedar": ""})
    with pytest.raises(BadBundleError):
        require_names({name: ""})


def test_a_bundle_is_refused_when_it_is_empty_or_larger_than_it_may_be() -> None:
    with pytest.raises(BadBundleError, match="no file"):
        require_names({})
    with pytest.raises(BadBundleError, match="500"):
        require_names({f"{n}.cedar": "" for n in range(501)})
    with pytest.raises(BadBundleError, match="bytes"):
        require_names({"a.cedar": "x" * 3_145_729})
    with pytest.raises(BadBundleError, match="no text"):
        pack({"a.cedar": "\ud800"})


def test_no_policy_takes_a_name_of_the_base() -> None:
    require_own(["base:one", "mine", "based:x"], ["base:one"])
    for name in ("base:two", "Base:two", "BASE:one"):
        with pytest.raises(BadBundleError, match="name of the rules"):
            require_own([name], ["base:one"])


def test_the_base_stands_in_a_bundle_and_no_file_takes_its_place() -> None:
    files = whole({"z.cedar": "z", "a.cedar": "a", "base.cedar": "other"}, "base")
    assert list(files) == ["a.cedar", "base.cedar", "z.cedar"]
    assert text_of(files) == "a\nbase\nz"
