from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.policy import (
    BadBundleError,
    DamagedBundleError,
    PolicyBundle,
    bundle_digest,
    pack,
    require_names,
    require_own,
    text_of,
    unpack,
    whole,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}\.cedar", fullmatch=True)
CASES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}\.cases\.yaml", fullmatch=True)
BUNDLES = st.builds(
    lambda files, cases: PolicyBundle(files=whole(files, "// base"), cases=cases),
    st.dictionaries(NAMES, TEXTS, min_size=1, max_size=4),
    st.dictionaries(CASES, TEXTS, max_size=2),
)
EMPTY = b'{"cases":{},"files":{"base.cedar":""},"version":1}'


@given(BUNDLES, BUNDLES)
def test_two_bundles_have_one_digest_only_when_names_and_texts_are_the_same(
    one: PolicyBundle, other: PolicyBundle
) -> None:
    assert (bundle_digest(pack(one)) == bundle_digest(pack(other))) == (one == other)
    turned = PolicyBundle(files=dict(reversed(list(one.files.items()))), cases=one.cases)
    assert bundle_digest(pack(one)) == bundle_digest(pack(turned))


@given(BUNDLES)
def test_a_kept_bundle_is_read_back_as_it_was(bundle: PolicyBundle) -> None:
    archive = pack(bundle)
    found = unpack(archive, bundle_digest(archive))
    assert (dict(found.files), dict(found.cases)) == (bundle.files, bundle.cases)
    assert (found.base, "base.cedar" in found.own) == ("// base", False)


@given(BUNDLES, st.data())
def test_f37_a_bundle_that_was_kept_half_or_changed_is_refused_by_name(
    bundle: PolicyBundle, data: st.DataObject
) -> None:
    archive = pack(bundle)
    digest = bundle_digest(archive)
    at = data.draw(st.integers(0, len(archive) - 1))
    for damaged in (archive[:at], archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1 :], b""):
        with pytest.raises(DamagedBundleError, match=digest):
            unpack(damaged, digest)


@pytest.mark.parametrize(
    "archive",
    [
        b"[]",
        b"{",
        EMPTY.replace(b"1}", b"2}"),
        EMPTY.replace(b"{}", b"[]"),
        EMPTY.replace(b'""', b"7"),
        EMPTY.replace(b"base", b"bass"),
        EMPTY.replace(b'"version"', b'"more":1,"version"'),
    ],
)
def test_bytes_that_fit_their_digest_and_are_no_bundle_are_refused(archive: bytes) -> None:
    assert unpack(EMPTY, bundle_digest(EMPTY)).files == {"base.cedar": ""}
    with pytest.raises(DamagedBundleError):
        unpack(archive, bundle_digest(archive))


@pytest.mark.parametrize("name", ["a.cedar", "A.cases.yaml", "a.cases.yml\n", "../a.cases.json"])
def test_a_file_of_cases_has_a_name_of_its_kind(name: str) -> None:
    require_names({"a.cedar": ""}, ["a.cases.yaml", "b.cases.yml", "c.cases.json"])
    with pytest.raises(BadBundleError):
        require_names({"a.cedar": ""}, [name])


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
        pack(PolicyBundle(files={"a.cedar": "\ud800"}))
    with pytest.raises(BadBundleError, match="bytes"):
        pack(PolicyBundle(files={"a.cedar": "\n" * 1_600_000}))
    with pytest.raises(BadBundleError, match="500 files of cases"):
        require_names({"a.cedar": ""}, [f"{n}.cases.yaml" for n in range(501)])


def test_no_policy_takes_a_name_of_the_base() -> None:
    require_own(["base:one", "mine", "based:x"], ["base:one"])
    for name in ("base:two", "Base:two", "BASE:one"):
        with pytest.raises(BadBundleError, match="name of the rules"):
            require_own([name], ["base:one"])


def test_the_base_stands_in_a_bundle_and_no_file_takes_its_place() -> None:
    files = whole({"z.cedar": "z", "a.cedar": "a", "base.cedar": "other"}, "base")
    assert list(files) == ["a.cedar", "base.cedar", "z.cedar"]
    assert text_of(files) == "a\nbase\nz"
