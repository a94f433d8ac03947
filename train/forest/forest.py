"""The random forest on mean colours: grid search, scores and figures (Breiman 2001).

The simplest model of the study: its only input is a chip's mean of each band.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from train.data.examples import Truth
from train.data.pixel_rows import PixelSource, chunks
from train.judging.measuring import HALF, measure_overall

Features = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ForestGrid:
    """The values that the grid search tries.

    Attributes:
        max_depths: maximum depths of a tree.
        trees: numbers of trees.
        folds: of the cross-validation; fewer if there are fewer chips.
    """

    max_depths: tuple[int, ...] = tuple(range(1, 13))
    trees: tuple[int, ...] = (100, 200, 300, 400)
    folds: int = 5


@dataclass(frozen=True)
class ForestFit:
    """The result of a grid search, and the forest with the best parameters.

    Attributes:
        forest: `sklearn.ensemble.RandomForestClassifier`, fitted to all chips.
        grid: the values tried, in rising order.
        folds: number of folds used.
        means, deviations: `float64 [depths, trees]`, sample-averaged F1 over the folds.
    """

    forest: Any
    grid: ForestGrid
    folds: int
    means: npt.NDArray[np.float64]
    deviations: npt.NDArray[np.float64]

    @property
    def best(self) -> tuple[int, int]:
        """Row and column of the highest mean; among equals the shallowest, then the smallest."""
        row, column = np.unravel_index(self.means.argmax(), self.means.shape)
        return int(row), int(column)

    @property
    def max_depth(self) -> int:
        """The best depth."""
        return self.grid.max_depths[self.best[0]]

    @property
    def trees(self) -> int:
        """The best number of trees."""
        return self.grid.trees[self.best[1]]


def mean_colours(pixels: PixelSource) -> Features:
    """Mean of each band of each chip, `float64 [n, bands]` in 0 to 255."""
    means = [chunk.mean(axis=(1, 2)) for chunk in chunks(pixels)]
    return np.concatenate(means) if means else np.empty((0, pixels.shape[-1]))


def fit_forest(features: Features, truth: Truth, grid: ForestGrid, seed: int) -> ForestFit:
    """Search the grid by cross-validated sample-averaged F1, then fit the best forest.

    For each depth only the largest forest is grown: with the same seed, a forest of 100 trees
    consists of the first 100 trees of one with 400.

    Args:
        features: `[n, bands]`, n at least 2.
        truth: `[n, labels]`.
    """
    from sklearn.model_selection import GridSearchCV, KFold
    from tqdm import tqdm

    grid = ForestGrid(tuple(sorted(grid.max_depths)), tuple(sorted(grid.trees)), grid.folds)
    folds = min(grid.folds, len(features))
    # scikit-learn expects another shape for a single label
    target = truth.ravel() if truth.shape[1] == 1 else truth
    fits = folds * len(grid.max_depths)
    with tqdm(total=fits, unit=" forests", disable=None) as progress:
        search = GridSearchCV(
            _forest(grid.trees[-1], None, seed),
            {"max_depth": list(grid.max_depths)},
            scoring=_StartScorer(grid.trees, progress),
            cv=KFold(folds, shuffle=True, random_state=seed),
            refit=False,
            error_score="raise",
        )
        found = search.fit(features, target).cv_results_
    means = np.stack([found[f"mean_test_{trees}"] for trees in grid.trees], axis=1)
    deviations = np.stack([found[f"std_test_{trees}"] for trees in grid.trees], axis=1)
    fit = ForestFit(None, grid, folds, means, deviations)
    forest = _forest(fit.trees, fit.max_depth, seed).fit(features, target)
    return ForestFit(forest, grid, folds, means, deviations)


def forest_scores(
    forest: Any, features: Features, trees: int | None = None
) -> npt.NDArray[np.float64]:
    """Scores `float64 [n, labels]`: the mean over trees of the label's share; 0 for a label
    never seen. Uses one thread: with several, the order of the sum varies, and a score of
    exactly 0.5 could end on either side of it.

    Args:
        trees: use only this many, the first ones.
    """
    asked = copy.copy(forest)  # shares the trees, but not their list
    asked.n_jobs, asked.estimators_ = 1, forest.estimators_[:trees]
    shares, classes = asked.predict_proba(features), asked.classes_
    if asked.n_outputs_ == 1:
        shares, classes = [shares], [classes]
    return np.stack(
        [
            share[:, list(known).index(1)] if 1 in known else np.zeros(len(features))
            for share, known in zip(shares, classes, strict=True)
        ],
        axis=1,
    )


@dataclass(frozen=True)
class _StartScorer:
    """Sample-averaged F1 of the first n trees of a forest, for each n.

    Chips without true and predicted labels are left out of the average; if there are no others,
    it is 1.
    """

    trees: Sequence[int]
    progress: Any

    def __call__(self, forest: Any, features: Features, target: Truth) -> dict[str, float]:
        self.progress.update()
        truth = target.reshape(len(features), -1)
        scores = {n: forest_scores(forest, features, n) for n in self.trees}
        figures = {n: measure_overall(truth, found >= HALF) for n, found in scores.items()}
        return {
            str(n): 1.0 if found["sample_f1"] is None else found["sample_f1"]
            for n, found in figures.items()
        }


def _forest(trees: int, max_depth: int | None, seed: int) -> Any:
    """An unfitted forest; its trees grow on all cores."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(trees, max_depth=max_depth, random_state=seed, n_jobs=-1)
