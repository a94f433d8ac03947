"""Splits: every chip in one part, every label in every part, no scene in two."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.errors import UsageError
from schemas.labels import LabelSet
from train.data._stratify import stratify, whole_sizes
from train.data.dataset import LabelledChips
from train.data.label_files import PARTS, read_labels, read_split, split_extension
from train.data.splits import (
    STUDY_FOREST,
    STUDY_NETWORKS,
    assign_parts,
    check_parts,
    read_split_rule,
    split_csv,
    study_rule,
)

SHARES = [(0.8, 0.2), (0.7, 0.2, 0.1), (0.5, 0.5), (0.9, 0.05, 0.05), (0.62, 0.22, 0.16)]


@st.composite
def chips(draw: st.DrawFn) -> np.ndarray:
    """Truth of up to 60 chips and 6 labels, some of them rare."""
    count, labels = draw(st.integers(3, 60)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    frequency = np.array(draw(st.lists(st.sampled_from([0, 0.03, 0.1, 0.5, 1]), min_size=6)))
    return (rng.random((count, labels)) < frequency[:labels]).astype(np.uint8)


def movable(truth: np.ndarray, parts: np.ndarray, groups: np.ndarray, group: int) -> bool:
    """Whether a scene can go without training or validation losing a label, or all chips."""
    source = parts[groups == group][0]
    rest = (parts == source) & (groups != group)
    losing = truth[groups == group].any(axis=0) & ~truth[rest].any(axis=0)
    return rest.any() and not (source < 2 and losing.any())


@given(truth=chips(), shares=st.sampled_from(SHARES), seed=st.integers(0, 9), data=st.data())
def test_scenes_are_whole_and_no_single_move_brings_a_label_into_training_or_validation(
    truth, shares, seed, data
):
    scenes = st.lists(st.integers(0, 12), min_size=len(truth), max_size=len(truth))
    groups = data.draw(st.just(np.arange(len(truth))) | scenes.map(np.array))
    parts = stratify(truth, shares, seed, groups)
    assert parts.shape == (len(truth),)
    assert all(len(set(parts[groups == group])) == 1 for group in np.unique(groups))
    if len(np.unique(groups)) >= len(shares):
        assert set(parts) == set(range(len(shares)))
    for part in (0, 1):
        for label in np.flatnonzero(truth.any(axis=0) & ~truth[parts == part].any(axis=0)):
            holders = np.unique(groups[truth[:, label] > 0])
            assert not any(movable(truth, parts, groups, group) for group in holders)


@given(truth=chips(), shares=st.sampled_from(SHARES), seed=st.integers(0, 9))
@example(truth=np.zeros((3, 1), np.uint8), shares=(0.9, 0.05, 0.05), seed=0)
@example(truth=np.zeros((2, 1), np.uint8), shares=(0.9, 0.05, 0.05), seed=0)
def test_parts_have_their_sizes_unless_a_label_would_lose_its_last_chip(truth, shares, seed):
    off = np.bincount(stratify(truth, shares, seed), minlength=len(shares)) - whole_sizes(
        len(truth), shares
    )
    assert np.abs(off).max() <= truth.shape[1]
    if not ((truth.sum(axis=0) > 0) & (truth.sum(axis=0) < 10)).any():
        assert not off.any()


@given(total=st.integers(0, 500), shares=st.sampled_from(SHARES))
def test_whole_sizes_sum_to_the_total_and_differ_from_the_shares_by_less_than_one(total, shares):
    sizes = whole_sizes(total, shares)
    assert sizes.sum() == total
    if total * min(shares) >= 1:
        assert (np.abs(sizes - total * np.array(shares)) < 1).all()
    assert (sizes > 0).all() or total < len(shares)


@given(truth=chips(), shares=st.sampled_from(SHARES), seed=st.integers(0, 9))
def test_the_same_seed_gives_the_same_parts(truth, shares, seed):
    np.testing.assert_array_equal(stratify(truth, shares, seed), stratify(truth, shares, seed))


def test_rare_labels_are_divided_by_their_shares_unlike_in_a_random_split():
    rng = np.random.default_rng(3)
    frequency = np.array([0.9, 0.3, 0.1, 0.02, 0.005])
    truth = (rng.random((4000, 5)) < frequency).astype(np.uint8)
    parts = stratify(truth, (0.8, 0.2), 0)
    held = np.stack([truth[parts == part].sum(axis=0) for part in (0, 1)])
    np.testing.assert_allclose(held, np.outer((0.8, 0.2), truth.sum(axis=0)), atol=2.5)
    lot = truth[rng.permutation(4000)[:800]].sum(axis=0)
    assert np.abs(lot - 0.2 * truth.sum(axis=0)).max() > 2.5


def test_a_label_of_two_chips_is_learned_from_one_and_validated_with_the_other():
    truth = np.zeros((100, 4), np.uint8)
    truth[:, 0] = 1
    for label in (1, 2, 3):
        truth[10 * label : 10 * label + 2, label] = 1
    for seed in range(20):
        parts = stratify(truth, (0.8, 0.2), seed)
        assert Counter(parts.tolist()) == {0: 80, 1: 20}
        assert all(set(parts[truth[:, label] > 0]) == {0, 1} for label in (1, 2, 3))


def test_labels_that_the_first_assignment_leaves_out_of_a_part_are_moved_there():
    truth = np.array([[0, 1, 1], [1, 1, 0], [1, 0, 0], [0, 1, 1]], np.uint8)
    for seed in range(10):
        parts = stratify(truth, (0.7, 0.3), seed)
        assert all(truth[parts == part].any(axis=0).all() for part in (0, 1))


def test_sizes_are_made_exact_after_the_labels_are_assigned():
    truth = np.array([[1, 1], [0, 1], [1, 0], [0, 1]] * 3, np.uint8)
    for seed in range(10):
        assert np.bincount(stratify(truth, (0.6, 0.4), seed)).tolist() == [7, 5]


def make_chips(count: int, tags: str = "dock") -> LabelledChips:
    names = [f"n{i:05d}" for i in range(count)]
    return LabelledChips(
        uris={name: f"{name}.jpg" for name in names},
        versions=dict.fromkeys(names),
        tags={name: frozenset(tags.split()) for name in names},
        listed=tuple(names[::-1]),
        chips_without_row=0,
        rows_without_chip=0,
        rows_without_sky_label=0,
    )


LABELS = LabelSet(("dock", "field"))


def sizes(parts: dict) -> dict[str, int]:
    return {part: len(names) for part, names in parts.items()}


def csv(folder, text: str) -> str:
    path = folder / "rows.csv"
    path.write_text(text)
    return str(path)


@pytest.fixture
def labels(tmp_path) -> str:
    path = tmp_path / "labels.csv"
    path.write_text("image_name,tags\nn00000,dock\n")
    return str(path)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, {"train": 80, "validation": 20, "test": 0}),
        ({"test_share": 0.1}, {"train": 70, "validation": 20, "test": 10}),
        ({"validation_share": 0.05}, {"train": 95, "validation": 5, "test": 0}),
        ({"split": "study"}, {"train": 62, "validation": 22, "test": 16}),
    ],
)
def test_parts_have_the_requested_shares(labels, flags, expected):
    rule = read_split_rule(labels, **flags)
    parts = assign_parts(make_chips(100), LABELS, rule, seed=1)
    assert sizes(parts) == expected
    assert sorted(name for names in parts.values() for name in names) == sorted(
        make_chips(100).uris
    )
    assert all(names == tuple(sorted(names)) for names in parts.values())
    assert assign_parts(make_chips(100), LABELS, rule, seed=1) == parts
    assert assign_parts(make_chips(100), LABELS, rule, seed=2) != parts


@pytest.mark.parametrize(("counts"), [STUDY_NETWORKS, STUDY_FOREST])
def test_with_enough_chips_the_study_takes_its_numbers_from_the_start_of_the_list(counts):
    total = sum(counts.values())
    chips = make_chips(total + 9)
    parts = assign_parts(chips, LABELS, study_rule(counts, {}), seed=0)
    assert sizes(parts) == {"train": 0, "validation": 0, "test": 0} | counts
    named = {name for names in parts.values() for name in names}
    assert named == set(chips.listed[:total])


def test_a_scene_is_in_one_part(labels, tmp_path):
    scenes = "".join(f"n{i:05d},s{i // 10}\n" for i in range(90))
    rule = read_split_rule(labels, groups=csv(tmp_path, "image_name,scene_id\n" + scenes))
    parts = assign_parts(make_chips(100), LABELS, rule, seed=0)
    assert sizes(parts) == {"train": 80, "validation": 20, "test": 0}
    where = {name: part for part, names in parts.items() for name in names}
    assert all(len({where[f"n{i:05d}"] for i in range(s, s + 10)}) == 1 for s in range(0, 90, 10))


def test_scenes_in_the_labels_csv_are_used_and_a_split_that_divides_them_is_refused(tmp_path):
    text = "image_name,tags,scene_id,split\n"
    text += "n00000,dock,s1,train\nn00001,dock,s1,val\nn00002,dock,,val\n"
    path = csv(tmp_path, text)
    parts = assign_parts(make_chips(3), LABELS, read_split_rule(path), seed=0)
    assert sorted(map(set, (parts["train"], parts["validation"])), key=len) == [
        {"n00002"},
        {"n00000", "n00001"},
    ]
    with pytest.raises(UsageError, match="'s1'"):
        assign_parts(make_chips(3), LABELS, read_split_rule(path, split=path), seed=0)


def test_a_given_split_is_followed_and_names_that_it_lacks_are_in_no_part(labels, tmp_path):
    split = csv(tmp_path, "image_name,split\nn00000,train\nn00001,validation\nzz,test\n")
    parts = assign_parts(make_chips(3), LABELS, read_split_rule(labels, split), seed=0)
    assert parts == {"train": ("n00000",), "validation": ("n00001",), "test": ()}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"split": "study", "test_share": 0.1}, "--split study decides the parts"),
        ({"split": "x.csv", "validation_share": 0.1}, "remove the shares"),
        ({"validation_share": 0.0}, "nothing for"),
        ({"validation_share": 0.7, "test_share": 0.3}, "nothing for"),
        ({"test_share": -0.1}, "nothing for"),
        ({"test_share": float("nan")}, "nothing for"),
        ({"groups": "labels.csv"}, "image_name and scene_id"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(labels, tmp_path, monkeypatch, flags, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        read_split_rule(labels, **flags)


@given(
    parts=st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1),
        st.sampled_from(PARTS),
        min_size=1,
    )
)
def test_parts_written_as_csv_are_read_back(tmp_path_factory, parts):
    known = {split_extension(name)[0]: part for name, part in parts.items()}
    listed = {part: [n for n, found in known.items() if found == part] for part in PARTS}
    assert read_split(csv(tmp_path_factory.mktemp("split"), split_csv(listed))) == known


def test_a_part_without_a_chip_is_refused():
    with pytest.raises(UsageError, match="'validation'"):
        check_parts({"train": 1, "validation": 0, "test": 0})


@pytest.mark.shared
def test_on_the_planet_list_no_label_is_off_its_share_by_more_than_two_chips(shared_data):
    rows, _ = read_labels(str(shared_data / "kaggle/train_v2.csv"))
    names = sorted(set().union(*(row.tags for row in rows)))
    truth = np.array([[name in row.tags for name in names] for row in rows], np.uint8)
    parts = stratify(truth, (0.8, 0.2), 0)
    assert np.bincount(parts).tolist() == [32383, 8096]
    off = truth[parts == 1].sum(axis=0) - 0.2 * truth.sum(axis=0)
    assert np.abs(off).max() <= 2
