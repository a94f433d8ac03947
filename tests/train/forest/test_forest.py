"""The grid search equals the simple one but is faster; the forest learns rules of colour."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import KFold

from pipelines.errors import UsageError
from tests.support.drawn_chips import (
    COLOURS,
    draw_jpg,
    draw_labelled_jpgs,
    draw_labelled_tifs,
    write_labels,
)
from train.__main__ import main
from train.forest.forest import ForestFit, ForestGrid, fit_forest, forest_scores, mean_colours
from train.forest.forest_training import ForestOptions, train_forest

SMALL = ["--trees", "3", "9", "--max_depths", "2", "4", "--folds", "3", "--pixel_cache", "none"]


def colours(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean colours, and labels: red, blue, and one that no chip has."""
    features = np.random.default_rng(seed).uniform(0, 255, (count, 3))
    held = [features[:, 0] > 128, features[:, 2] > 128, np.zeros(count, bool)]
    return features, np.stack(held, axis=1).astype(np.uint8)


def noisy(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean colours, and labels that hardly depend on them; every chip has at least one."""
    rng = np.random.default_rng(0)
    features = rng.uniform(0, 255, (count, 3))
    truth = (features + rng.normal(0, 90, (count, 3)) > 128).astype(np.uint8)
    truth[~truth.any(axis=1), 0] = 1
    return features, truth


def test_the_grid_equals_growing_a_forest_for_each_combination_and_fold():
    features, truth = noisy(60)
    fit = fit_forest(features, truth, ForestGrid((3, 1), (5, 11), folds=3), seed=4)
    assert (fit.grid.max_depths, fit.grid.trees) == ((1, 3), (5, 11))
    for row, depth in enumerate((1, 3)):
        for column, trees in enumerate((5, 11)):
            found = []
            for train, test in KFold(3, shuffle=True, random_state=4).split(features):
                grown = RandomForestClassifier(trees, max_depth=depth, random_state=4)
                scores = forest_scores(grown.fit(features[train], truth[train]), features[test])
                found.append(f1_score(truth[test], scores >= 0.5, average="samples"))
            assert fit.means[row, column] == pytest.approx(np.mean(found))
            assert fit.deviations[row, column] == pytest.approx(np.std(found))


def test_the_forest_is_grown_with_the_best_parameters_on_all_chips():
    features, truth = noisy(60)
    fit = fit_forest(features, truth, ForestGrid((1, 2, 3), (5, 11), folds=3), seed=0)
    assert fit.means[fit.best] == fit.means.max()
    alone = RandomForestClassifier(fit.trees, max_depth=fit.max_depth, random_state=0)
    expected = forest_scores(alone.fit(features, truth), features)
    np.testing.assert_array_equal(forest_scores(fit.forest, features), expected)


def test_of_equal_combinations_the_shallowest_then_the_smallest_is_chosen():
    means = np.array([[0.5, 0.7], [0.7, 0.6]])
    fit = ForestFit(None, ForestGrid((1, 2), (10, 20)), 5, means, means)
    assert (fit.max_depth, fit.trees) == (1, 20)


def test_a_rule_of_colour_is_found_and_a_label_never_seen_scores_0():
    fit = fit_forest(*colours(300, seed=0), ForestGrid((1, 8), (20,)), seed=0)
    assert fit.max_depth == 8
    features, truth = colours(200, seed=1)
    scores = forest_scores(fit.forest, features)
    assert ((scores >= 0.5) == truth)[:, :2].mean() > 0.97
    assert (scores[:, 2] == 0).all()


def test_a_single_label_that_every_chip_has_scores_1():
    features, _ = colours(20, seed=0)
    fit = fit_forest(features, np.ones((20, 1), np.uint8), ForestGrid((1,), (3,)), seed=0)
    assert forest_scores(fit.forest, features).tolist() == [[1.0]] * 20


def test_there_are_never_more_folds_than_chips():
    fit = fit_forest(*colours(3, seed=0), ForestGrid((1,), (3,)), seed=0)
    assert fit.folds == 3


def test_mean_colours_are_the_means_of_all_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 4), dtype=np.uint8)
    np.testing.assert_allclose(mean_colours(pixels), pixels.mean(axis=(1, 2)), rtol=1e-12)
    assert mean_colours(pixels[:0]).shape == (0, 4)


# --- The command --------------------------------------------------------------------------------


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def grown(tmp_path_factory) -> Path:
    """A folder with 40 chips of three colours, one of them damaged, and a forest in `out`."""
    folder = tmp_path_factory.mktemp("forest")
    write_labels(folder / "labels.csv", draw_labelled_jpgs(folder / "chips", 40))
    (folder / "chips/c0.jpg").write_bytes(b"")
    assert main(["forest", *given(folder), "--output", str(folder / "out")]) == 0
    return folder


def given(folder: Path) -> list[str]:
    return ["--chips", str(folder / "chips"), "--labels", str(folder / "labels.csv"), *SMALL]


def test_one_chip_in_four_is_tested_as_in_the_study(grown):
    summary = json.loads((grown / "out/summary.json").read_text())
    assert sum(summary["chips"].values()) == 39
    assert summary["chips"]["test"] in (9, 10)
    assert summary["set_aside"]["rejected"] == {"empty": 1}
    assert (
        summary["figures"]["test"]["at_half"]["micro_f1"] == 1
    )  # the three colours decide the labels
    assert summary["best"] in [
        {key: row[key] for key in ("max_depth", "trees", "sample_f1")} for row in summary["grid"]
    ]
    assert {picture["file"] for picture in summary["pictures"]} == {
        path.name for path in (grown / "out").glob("*.png")
    }


def test_the_tables_have_a_row_for_each_combination_label_and_test_chip(grown):
    grid = rows_of(grown / "out/forest_grid.csv")
    combinations = [(row["max_depth"], row["trees"]) for row in grid]
    assert combinations == [("2", "3"), ("2", "9"), ("4", "3"), ("4", "9")]
    labels = {row["label"]: row for row in rows_of(grown / "out/forest_labels.csv")}
    water, haze = labels["water"], labels["haze"]
    learned, tested = int(water["training_positives"]), int(water["test_positives"])
    assert learned + tested == 13
    assert (water["precision"], water["recall"], water["f1"]) == ("1.000000",) * 3
    assert (haze["predicted"], haze["precision"], haze["f1"]) == ("0", "", "")
    scores = rows_of(grown / "out/forest_scores.csv")
    chosen = [row for row in scores if float(row["water"]) >= 0.5]
    assert len(chosen) == tested == int(water["predicted"])


def test_the_same_seed_gives_the_same_scores_and_another_seed_others(grown):
    def scores(seed: str) -> bytes:
        flags = ["--output", str(grown / seed), "--seed", seed]
        assert main(["forest", *given(grown), *flags]) == 0
        return (grown / seed / "forest_scores.csv").read_bytes()

    assert scores("0") == (grown / "out/forest_scores.csv").read_bytes() != scores("1")


def test_the_train_and_validation_parts_of_a_split_train_the_forest(grown, tmp_path):
    parts = {f"c{i}": ("train", "val", "test")[i % 3] for i in range(1, 40)}
    lines = ["image_name,split", *(f"{name},{part}" for name, part in parts.items())]
    (tmp_path / "split.csv").write_text("\n".join(lines), encoding="utf-8")
    flags = ["--split", str(tmp_path / "split.csv"), "--output", str(tmp_path / "out")]
    assert main(["forest", *given(grown), *flags]) == 0
    tested = [row["image_name"] for row in rows_of(tmp_path / "out/forest_scores.csv")]
    assert tested == sorted(name for name, part in parts.items() if part == "test")
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["chips"] == {"train": 26, "test": 13}


def test_other_chips_are_tested_with_a_forest_trained_on_all_chips(grown, tmp_path):
    (tmp_path / "others").mkdir()
    (tmp_path / "others/c1.jpg").write_bytes(draw_jpg(COLOURS["bare_ground"], seed=99))
    write_labels(tmp_path / "others.csv", {"c1": "clear bare_ground"})
    flags = [
        "--test_chips",
        str(tmp_path / "others"),
        "--test_labels",
        str(tmp_path / "others.csv"),
    ]
    assert main(["forest", *given(grown), *flags, "--output", str(tmp_path / "out")]) == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["chips"] == {"train": 39, "test": 1}
    assert summary["figures"]["test"]["at_half"]["sample_f1"] == 1


def test_all_four_bands_of_tifs_are_used(tmp_path):
    write_labels(tmp_path / "labels.csv", draw_labelled_tifs(tmp_path / "chips", 24))
    options = ForestOptions(
        chips=str(tmp_path / "chips"),
        labels=str(tmp_path / "labels.csv"),
        output=str(tmp_path / "out"),
        max_depths=(4,),
        trees=(9,),
        folds=2,
        pixel_cache="none",
    )
    summary = train_forest(options)
    assert summary["bands"] == ["blue", "green", "red", "near_infrared"]
    assert summary["figures"]["test"]["at_half"]["micro_f1"] == 1


def test_if_no_chip_can_be_decoded_the_reason_is_reported(tmp_path):
    (tmp_path / "chips").mkdir()
    for i in range(8):
        (tmp_path / f"chips/c{i}.jpg").write_bytes(b"")
    write_labels(tmp_path / "labels.csv", {f"c{i}": "clear" for i in range(8)})
    options = ForestOptions(
        chips=str(tmp_path / "chips"),
        labels=str(tmp_path / "labels.csv"),
        output=str(tmp_path),
        pixel_cache="none",
    )
    with pytest.raises(UsageError, match="no bytes"):
        train_forest(options)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--test_chips", "chips"], "go together"),
        (["--folds", "1"], "at least 2"),
        (["--max_depths", "0"], "at least 1"),
        (["--output", "s3://bucket/out"], "local folder"),
        (["--media_type", "tif"], "tif"),
    ],
)
def test_a_usage_error_ends_with_2_and_one_line(grown, tmp_path, capsys, flags, said):
    assert main(["forest", *given(grown), "--output", str(tmp_path / "out"), *flags]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_single_chip_cannot_be_learned_from(tmp_path, capsys):
    write_labels(tmp_path / "labels.csv", draw_labelled_jpgs(tmp_path / "chips", 1))
    assert main(["forest", *given(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "more labelled chips" in capsys.readouterr().err
