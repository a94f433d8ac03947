"""A night is compared with the nights before; differences that may be chance do not count."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.drift.checks import (
    BINS,
    EDGES,
    DriftLimits,
    Night,
    count_scores,
    judge_night,
    stability_index,
)
from pipelines.drift.verdicts import Finding, findings_json, read_findings

LABELS = tuple("abcdefgh")
LIMITS = DriftLimits()
counts = st.lists(st.integers(0, 10_000), min_size=BINS, max_size=BINS).map(np.array)


def night(rng, scored=1000, quarantined=0, shape=(0.3, 2.0), labels=LABELS) -> Night:
    """A night whose scores are drawn from a beta distribution."""
    scores = {label: count_scores(rng.beta(*shape, scored).astype(np.float32)) for label in labels}
    return Night("r", "2026-07-01", scored, quarantined, scores, {})


def nights(rng, *sizes: int) -> list[Night]:
    return [night(rng, size) for size in sizes]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def finding(verdict, check: str) -> Finding:
    (found,) = [each for each in verdict.findings if each.check == check]
    return found


def test_a_score_is_counted_in_the_bin_whose_lower_edge_it_reaches():
    at_edges = np.array(EDGES, np.float32)
    assert count_scores(at_edges).tolist() == [1] * (BINS - 1) + [2]
    assert count_scores(np.nextafter(at_edges[1:], np.float32(0))).tolist() == [1] * BINS


def test_the_index_is_the_one_of_a_worked_example():
    """Shares 0.2 and 0.8 against 0.5 and 0.5, with enough chips that the prior does not matter:
    (0.2 - 0.5) ln(0.2 / 0.5) + (0.8 - 0.5) ln(0.8 / 0.5) = 0.41589."""
    now, before = (np.zeros(BINS, np.int64) for _ in range(2))
    now[[0, -1]], before[[0, -1]] = (2 * 10**8, 8 * 10**8), (10**9, 10**9)
    assert stability_index(now, before) == pytest.approx(0.41589, abs=1e-4)


@given(counts, counts)
def test_the_index_is_symmetric_never_negative_and_0_for_the_same_shares(one, other):
    assert stability_index(one, other) == pytest.approx(stability_index(other, one))
    assert stability_index(one, other) >= 0
    assert stability_index(one, one) == 0
    assert stability_index(one, 3 * one) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("size", [30, 100, 1000])
def test_chance_alone_makes_no_night_bad(size):
    for seed in range(50):
        rng = np.random.default_rng(seed)
        verdict = judge_night(night(rng, size), nights(rng, size, size, size), LIMITS)
        assert verdict.verdict == "good", verdict.texts


def test_scores_that_moved_make_it_bad_and_the_label_is_named(rng):
    today = night(rng)
    moved = count_scores(rng.beta(2.0, 2.0, 1000).astype(np.float32))
    today = Night("r", "d", 1000, 0, {**today.scores, "c": moved}, {})
    verdict = judge_night(today, nights(rng, 1000, 1000), LIMITS)
    assert verdict.verdict == "bad"
    (bad,) = [found for found in verdict.findings if found.bad]
    assert (bad.check, bad.label, bad.limit) == ("psi", "c", 0.25)
    assert bad.value == pytest.approx(
        stability_index(moved, sum(each.scores["c"] for each in nights(rng, 1000, 1000))), rel=0.2
    )
    assert verdict.texts == [f"psi of c {bad.value:.3g} (limit 0.25)"]


def test_a_night_of_black_pictures_is_bad_even_with_only_a_hundred_chips(rng):
    black = {label: count_scores(np.full(100, 0.02, np.float32)) for label in LABELS}
    verdict = judge_night(Night("r", "d", 100, 0, black, {}), nights(rng, 100, 100), LIMITS)
    assert verdict.bad


def test_the_limit_of_the_index_can_be_set_but_never_goes_below_chance(rng):
    other, same = night(rng, shape=(0.35, 2.0)), night(rng)
    before = nights(rng, 5000, 5000)
    assert judge_night(other, before, LIMITS).verdict == "good"
    assert judge_night(other, before, DriftLimits(psi=0.001)).verdict == "bad"
    assert judge_night(same, before, DriftLimits(psi=0.001)).verdict == "good"


@pytest.mark.parametrize(
    ("quarantined", "before", "verdict"),
    [(40, 0, "good"), (90, 0, "bad"), (90, 40, "good"), (300, 300, "good"), (0, 300, "good")],
)
def test_a_share_of_quarantined_chips_well_over_that_of_the_nights_before_is_bad(
    rng, quarantined, before, verdict
):
    today = night(rng, 1000 - quarantined, quarantined)
    past = [night(rng, 1000 - before, before) for _ in range(3)]
    judged = judge_night(today, past, LIMITS)
    assert judged.verdict == verdict
    assert finding(judged, "quarantine").value == pytest.approx((quarantined - before) / 1000)


@pytest.mark.parametrize("before", [0, 600])
def test_chips_without_data_are_no_part_of_the_share_of_quarantined_chips(rng, before):
    """40 faults among 400 chips with data, and 600 without, against nights of another share."""
    today = replace(night(rng, 360, 640), no_data=600)
    past = [replace(night(rng, 400, before), no_data=before) for _ in range(3)]
    judged = finding(judge_night(today, past, LIMITS), "quarantine")
    assert judged.value == pytest.approx(0.1)
    assert judged.bad
    only = replace(night(rng, 400, 600), no_data=600)
    assert finding(judge_night(only, past, LIMITS), "quarantine").value == 0


def test_a_night_without_any_data_is_not_judged_by_its_share_of_quarantined_chips(rng):
    today = replace(night(rng, 0, 600), no_data=600)
    judged = judge_night(today, nights(rng, 600, 600, 600), LIMITS)
    assert finding(judged, "quarantine").note.startswith("needs 30 chips each: 0 processed now")
    assert not judged.bad


def test_one_bad_chip_among_a_few_is_chance(rng):
    assert judge_night(night(rng, 28, 3), nights(rng, 100, 100), LIMITS).verdict == "good"


@pytest.mark.parametrize(
    ("chips", "value", "limit", "bad"),
    [
        (300, 1.0, 4.0, False),
        (1600, 4.0, 4.0, False),
        (2000, 5.0, 4.0, True),
        (50, 0.25, 0.25, False),
        (40, 0.2, 0.25, True),
    ],
)
def test_volume_is_compared_with_the_most_similar_night_before(rng, chips, value, limit, bad):
    judged = finding(judge_night(night(rng, chips), nights(rng, 400, 300, 200), LIMITS), "volume")
    assert (judged.value, judged.limit, judged.bad) == (value, limit, bad)


def test_the_second_night_is_not_bad_for_having_fewer_chips_than_the_first(rng):
    assert not judge_night(night(rng, 60), nights(rng, 20_000, 50), LIMITS).bad


@pytest.mark.parametrize(
    ("before", "verdict", "text"),
    [
        ((100, 100, 100), "bad", "volume 0 (limit 0.25)"),
        ((100, 100), None, "volume check skipped: needs 3 earlier runs, found 2"),
        ((9, 9, 9), None, "volume check skipped: earlier runs had only 9 chips"),
    ],
)
def test_a_night_without_chips_is_judged_by_its_volume_on_request(rng, before, verdict, text):
    judged = judge_night(night(rng, 0), nights(rng, *before), DriftLimits(empty=True))
    assert judged.verdict == verdict
    assert text in judged.texts


@pytest.mark.parametrize(
    ("scored", "before", "why"),
    [
        (0, (100, 100), "drift check skipped: there was nothing to score"),
        (100, (), "drift check skipped: needs 2 earlier runs of this model, found 0"),
        (100, (100,), "drift check skipped: needs 2 earlier runs of this model, found 1"),
        (
            20,
            (100, 100),
            "psi check skipped: needs 30 chips each: 20 scored now, 200 before",
        ),
        (100, (9, 9), "psi check skipped: needs 30 chips each: 100 scored now, 18 before"),
        (100, (9, 9, 9), "volume check skipped: earlier runs had only 9 chips"),
        (100, (9, 9), "volume check skipped: needs 3 earlier runs, found 2"),
    ],
)
def test_with_too_little_data_there_is_no_verdict_but_a_reason(rng, scored, before, why):
    verdict = judge_night(night(rng, scored), nights(rng, *before), LIMITS)
    assert verdict.verdict is None
    assert [text for text in verdict.texts if text.startswith(why)]


def test_a_night_before_that_scored_nothing_has_no_scores_to_compare_with(rng):
    empty = Night("r", "d", 0, 50, {}, {})
    verdict = judge_night(night(rng, 100), [empty, night(rng, 100)], LIMITS)
    assert finding(verdict, "quarantine").value == pytest.approx(-50 / 150)
    assert {each.label for each in verdict.findings if each.check == "psi"} == set(LABELS)


def test_findings_are_read_back_as_they_were_written_without_unknown_values():
    found = (
        Finding("psi", 0.25, 0.25, True, 'a "label"'),
        Finding("volume", note="2 runs before"),
    )
    text = findings_json(found)
    assert read_findings(text) == found
    assert json.loads(text)[1] == {"check": "volume", "bad": False, "note": "2 runs before"}
    assert read_findings(None) == ()
