"""The tables and pictures of an exploration, and its summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.imaging.resize import Pixels
from train.explore._chip_survey import ChipKind, ChipSurvey
from train.explore._label_statistics import LabelStatistics
from train.pictures import BAND_COLOURS, as_rgb, draw_bars, draw_heat_map, draw_image_grid
from train.results import describe_picture, write_table

ALL = "all chips"
"""Name of the row for all labelled chips."""

_SHOWN_SETS = 20
_SIDE_PX = 128


def write_label_results(folder: Path, found: LabelStatistics) -> dict[str, Any]:
    """Write the results about labels. Returns their part of the summary."""
    _write_label_tables(folder, found)
    return {
        "rows": found.rows,
        "label_set": found.label_set.to_dict(),
        "label_counts": found.counts,
        "labels_a_chip": list(found.labels_a_chip),
        "mean_labels_a_chip": sum(found.counts.values()) / found.rows,
        "label_sets": len(found.label_sets),
        "pictures": _draw_labels(folder, found),
    }


def write_chip_results(
    folder: Path, survey: ChipSurvey, samples: Mapping[str, Pixels | None]
) -> dict[str, Any]:
    """Write the results about chips. Returns their part of the summary.

    Args:
        samples: chips to show, `uint8 [S, S, 3]` RGB by caption.
    """
    colours = survey.mean_colours
    _write_chip_tables(folder, survey, colours)
    kinds = sorted(survey.kinds.items(), key=lambda pair: (-pair[1], pair[0]))
    return {
        "decoded": sum(survey.kinds.values()),
        "labelled": len(survey.names),
        "kinds": [kind._asdict() | {"chips": chips} for kind, chips in kinds],
        "damaged": dict(Counter(r.reason.value for r in survey.damaged.values()).most_common()),
        "mean_colours": {
            name: dict(zip(survey.bands, _known(row), strict=True))
            for name, row in zip(_rows(survey), colours, strict=True)
        },
        "pictures": _draw_chips(folder, survey, colours, samples),
    }


def _write_label_tables(folder: Path, found: LabelStatistics) -> None:
    names = found.label_set.names
    counts = [(name, count, count / found.rows) for name, count in found.counts.items()]
    write_table(folder / "label_counts.csv", ("label", "chips", "share"), counts)
    sizes = enumerate(found.labels_a_chip)
    write_table(folder / "labels_a_chip.csv", ("labels", "chips"), sizes)
    sets = [(" ".join(held), chips, chips / found.rows) for held, chips in found.label_sets]
    write_table(folder / "label_sets.csv", ("tags", "chips", "share"), sets)
    for file, matrix in (("together.csv", found.together), ("together_shares.csv", found.shares)):
        rows = [(name, *row) for name, row in zip(names, matrix.tolist(), strict=True)]
        write_table(folder / file, ("label", *names), rows)


def _draw_labels(folder: Path, found: LabelStatistics) -> list[dict[str, str]]:
    names, rows = found.label_set.names, f"of {found.rows:,} chips"
    ordered = sorted(found.counts, key=lambda name: -found.counts[name])
    sizes = {str(size): chips for size, chips in enumerate(found.labels_a_chip)}
    sets = {", ".join(held) or "no label": n for held, n in found.label_sets[:_SHOWN_SETS]}
    most = f"The {len(sets)} most frequent of {len(found.label_sets):,} label sets, {rows}"
    for file, chips, title in (
        ("label_counts.png", {name: found.counts[name] for name in ordered}, f"Labels {rows}"),
        ("labels_a_chip.png", sizes, f"How many labels a chip has, {rows}"),
        ("label_sets.png", sets, most),
    ):
        draw_bars(folder / file, list(chips), {"": list(chips.values())}, title, "chips")
    title = "Chips that have both labels (on the diagonal: the label)"
    draw_heat_map(folder / "together.png", found.together, names, names, title, logarithmic=True)
    title = "Of the chips with the row's label, the share that also has the column's"
    path = folder / "together_shares.png"
    draw_heat_map(path, found.shares, names, names, title, value_format="{:.2f}")
    return [
        describe_picture("label_counts.png", "labels", f"How many {rows} have each label"),
        describe_picture("labels_a_chip.png", "labels", "How many labels a chip has"),
        describe_picture("label_sets.png", "labels", "The most frequent sets of labels"),
        describe_picture("together.png", "together", "How many chips have both of two labels"),
        describe_picture("together_shares.png", "together", f"{title} label"),
    ]


def _write_chip_tables(folder: Path, survey: ChipSurvey, colours: npt.NDArray[np.float64]) -> None:
    means = zip(_rows(survey), survey.chips.tolist(), colours.tolist(), strict=True)
    header = ("label", "chips", *survey.bands)
    write_table(folder / "mean_colours.csv", header, [(name, n, *row) for name, n, row in means])
    kinds = [(*kind, chips) for kind, chips in sorted(survey.kinds.items())]
    write_table(folder / "kinds.csv", (*ChipKind._fields, "chips"), kinds)
    damaged = [(uri, r.reason.value, r.message) for uri, r in sorted(survey.damaged.items())]
    write_table(folder / "damaged.csv", ("chip", "reason", "message"), damaged)


def _draw_chips(
    folder: Path,
    survey: ChipSurvey,
    colours: npt.NDArray[np.float64],
    samples: Mapping[str, Pixels | None],
) -> list[dict[str, str]]:
    rows = _rows(survey)
    first = [band for band in BAND_COLOURS if band in survey.bands]
    series = {
        band: _known(colours[:, survey.bands.index(band)])
        for band in dict.fromkeys([*first, *survey.bands])
    }
    title, unit = "Mean colour of the chips with each label", "mean over all pixels, 0 to 255"
    draw_bars(
        folder / "mean_colours.png", rows, series, title, unit, "{:.1f}", colours=BAND_COLOURS
    )
    averages = as_rgb(np.rint(np.nan_to_num(survey.averages)).astype(np.uint8), survey.bands)
    pictures = [a if n else None for a, n in zip(averages, survey.chips, strict=True)]
    captions = [f"{name} ({n:,})" for name, n in zip(rows, survey.chips.tolist(), strict=True)]
    title = "The average chip of each label, pixel by pixel (chips behind it)"
    draw_image_grid(folder / "average_chips.png", pictures, captions, title, side_px=_SIDE_PX)
    title = "Sample chips with their labels"
    images, texts = list(samples.values()), list(samples)
    draw_image_grid(folder / "sample_chips.png", images, texts, title, side_px=_SIDE_PX)
    return [
        describe_picture("mean_colours.png", "colours", "Mean colour of the chips of each label"),
        describe_picture("average_chips.png", "averages", "The average chip of each label"),
        describe_picture("sample_chips.png", "samples", title),
    ]


def _rows(survey: ChipSurvey) -> Sequence[str]:
    return (*survey.label_set.names, ALL)


def _known(values: npt.NDArray[np.float64]) -> list[float | None]:
    """NaN (no chip) as None for JSON."""
    return [None if np.isnan(value) else float(value) for value in values]
