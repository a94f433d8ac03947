"""The exploration counts what is there, averages it exactly, and names what is damaged."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from schemas.artifact import BANDS, Preprocessing
from schemas.labels import PLANET_LABELS, LabelSet
from schemas.tables import QuarantineReason as Reason
from tests.support.drawn_chips import write_labels, write_tif
from tests.support.samples import jpg_bytes
from train.__main__ import main
from train.data.examples import READABLE_SIDES_PX
from train.explore import _chip_survey
from train.explore._chip_survey import ChipKind, survey_chips
from train.explore._label_statistics import count_labels
from train.explore.explore import choose_samples
from train.sample.encoding import encode_markerless_jpg

LABELS = LabelSet(("a", "b", "c"))
EXACT = Preprocessing("tif", 8, BANDS["tif"], ((0.0, 255.0),) * 4, READABLE_SIDES_PX)
"""Radiometric values of up to 255 are taken as they are."""

TAGS = st.lists(st.frozensets(st.sampled_from(LABELS.names)), min_size=1, max_size=30)


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


# --- Labels -------------------------------------------------------------------------------------


@given(TAGS)
def test_counts_alone_and_together_equal_those_of_a_simple_loop(tags):
    found = count_labels(tags, LABELS)
    for i, one in enumerate(LABELS.names):
        held = [row for row in tags if one in row]
        assert found.counts[one] == len(held)
        for j, other in enumerate(LABELS.names):
            both = sum(other in row for row in held)
            assert found.together[i, j] == both
            share = both / len(held) if held else np.nan
            np.testing.assert_equal(found.shares[i, j], share)


@given(TAGS)
def test_every_row_is_in_one_label_set_and_has_one_number_of_labels(tags):
    found = count_labels(tags, LABELS)
    sets = {frozenset(held): count for held, count in found.label_sets}
    assert sets == {held: tags.count(held) for held in tags}
    assert [count for _, count in found.label_sets] == sorted(sets.values(), reverse=True)
    by_size = dict(enumerate(found.labels_a_chip))
    assert by_size == {n: sum(len(row) == n for row in tags) for n in by_size}
    assert sum(by_size.values()) == found.rows == len(tags)


def test_the_labels_of_the_real_list_are_counted_as_its_authors_do(shared_data, tmp_path):
    labels = shared_data / "kaggle" / "train_v2.csv"
    assert main(["explore", "--labels", str(labels), "--output", str(tmp_path)]) == 0
    counts = {row[0]: row[1] for row in rows_of(tmp_path / "label_counts.csv")}
    known = {"primary": "37513", "clear": "28431", "agriculture": "12315", "blow_down": "98"}
    assert known.items() <= counts.items()
    together = rows_of(tmp_path / "together.csv")
    assert together[1][: 1 + 5] == ["clear", "28431", "0", "0", "0", "27668"]
    assert json.loads((tmp_path / "summary.json").read_text())["rows"] == 40_479


# --- Chips --------------------------------------------------------------------------------------


def test_the_average_chip_of_a_label_is_the_mean_of_its_chips_pixel_by_pixel(tmp_path, monkeypatch):
    monkeypatch.setattr(_chip_survey, "_CHIPS_A_CHUNK", 3)
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (10, 4, 8, 8)).astype(np.uint16)
    tags = {f"t{i}": frozenset(held) for i, held in enumerate(["a", "ab", "b", "", "a"] * 2)}
    for i in range(10):
        write_tif(tmp_path / f"t{i}.tif", values[i])
    del tags["t9"]  # a chip without a row
    uris = [str(tmp_path / f"t{i}.tif") for i in range(10)]
    survey = survey_chips(uris, dict(zip(tags, uris[:9], strict=True)), tags, LABELS, EXACT)
    pixels = values.transpose(0, 2, 3, 1)
    for row, name in enumerate("ab"):
        held = [i for i in range(9) if name in tags[f"t{i}"]]
        np.testing.assert_allclose(survey.averages[row], pixels[held].mean(axis=0), rtol=1e-12)
        colour = pixels[held].mean(axis=(0, 1, 2))
        np.testing.assert_allclose(survey.mean_colours[row], colour, rtol=1e-12)
    assert np.isnan(survey.averages[2]).all()  # no chip has the label c
    np.testing.assert_allclose(survey.averages[3], pixels[:9].mean(axis=0), rtol=1e-12)
    assert survey.chips.tolist() == [5, 4, 0, 9]
    assert survey.names == tuple(f"t{i}" for i in range(9))
    assert survey.kinds == {ChipKind("4 x uint16", 8, 8): 10}


def test_a_damaged_chip_is_named_with_its_reason_and_changes_no_average(tmp_path):
    grey = np.full((4, 8, 8), 100, np.uint16)
    write_tif(tmp_path / "good.tif", grey)
    write_tif(tmp_path / "short.tif", grey)
    (tmp_path / "short.tif").write_bytes((tmp_path / "short.tif").read_bytes()[:-300])
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "jpg.tif").write_bytes(jpg_bytes())
    with (tmp_path / "endless.tif").open("wb") as file:
        file.truncate(2**42)
    names = ["good", "short", "empty", "jpg", "endless", "gone"]
    uris = {name: str(tmp_path / f"{name}.tif") for name in names}
    tags = dict.fromkeys(names, frozenset("a"))
    survey = survey_chips(list(uris.values()), uris, tags, LABELS, EXACT)
    assert {uri: rejection.reason for uri, rejection in survey.damaged.items()} == {
        uris["short"]: Reason.TRUNCATED,
        uris["empty"]: Reason.EMPTY,
        uris["jpg"]: Reason.MEDIA_TYPE,
        uris["endless"]: Reason.TOO_LARGE,
        uris["gone"]: Reason.UNREADABLE,
    }
    assert (survey.averages[0] == 100).all()
    assert survey.chips.tolist() == [1, 0, 0, 1]
    assert sum(survey.kinds.values()) == 1


@given(TAGS, st.integers(0, 5))
def test_the_sample_shows_every_label_that_occurs_if_there_is_room(tags, seed):
    held = {f"c{i}": tag for i, tag in enumerate(tags)}
    chosen = choose_samples(list(held), held, LABELS, 4, seed)
    assert len(chosen) == len(set(chosen)) == min(4, len(held))
    assert set().union(*map(held.get, chosen)) == set().union(*tags)
    assert chosen == choose_samples(list(held)[::-1], held, LABELS, 4, seed)


# --- The command --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explored(tmp_path_factory) -> Path:
    """What was found in a folder of chips of known greys, one of them damaged.

    The four-component chip of grey 119 decodes to 120: inks are rounded up on the way.
    """
    folder = tmp_path_factory.mktemp("explored")
    (folder / "chips").mkdir()
    chips = {
        "dark": jpg_bytes((40, 40, 40), 64),
        "bright": jpg_bytes((200, 200, 200), 64),
        "four": encode_markerless_jpg(np.full((32, 32, 3), 119, np.uint8), quality=100),
        "nameless": jpg_bytes((9, 9, 9), 64),
        "broken": jpg_bytes()[:300],
    }
    for name, data in chips.items():
        (folder / f"chips/{name}.jpg").write_bytes(data)
    tags = {"dark": "clear primary", "bright": "clear", "four": "haze primary"}
    write_labels(folder / "labels.csv", {**tags, "broken": "cloudy", "gone": "clear"})
    flags = ["--chips", str(folder / "chips"), "--labels", str(folder / "labels.csv")]
    assert main(["explore", *flags, "--output", str(folder / "out"), "--image_size", "16"]) == 0
    return folder / "out"


def test_mean_colours_are_those_of_the_chips_and_empty_without_any(explored):
    table = {row[0]: row[1:] for row in rows_of(explored / "mean_colours.csv")}
    assert table["label"] == ["chips", "red", "green", "blue"]
    assert table["clear"] == ["2", *["120.000000"] * 3]
    assert table["primary"] == ["2", *["80.000000"] * 3]
    assert table["haze"] == ["1", *["120.000000"] * 3]
    assert table["cloudy"] == ["0", "", "", ""]
    assert table["all chips"] == ["3", *["120.000000"] * 3]


def test_kinds_and_damaged_files_include_chips_without_a_row(explored):
    assert rows_of(explored / "kinds.csv")[1:] == [
        ["3-component JPEG (YCbCr)", "64", "64", "3"],
        ["4-component JPEG (CMYK)", "32", "32", "1"],
    ]
    [damaged] = rows_of(explored / "damaged.csv")[1:]
    assert Path(damaged[0]).name == "broken.jpg"
    assert damaged[1] == "truncated"


def test_the_average_chips_are_on_their_sheet(explored):
    sheet = np.asarray(Image.open(explored / "average_chips.png").convert("RGB"))
    assert tuple(sheet[30 + 64, 8 + 64]) == (120, 120, 120)  # clear comes first


def test_the_summary_names_every_picture_and_counts_what_was_set_aside(explored):
    summary = json.loads((explored / "summary.json").read_text())
    listed = {picture["file"] for picture in summary["pictures"]}
    assert listed == {path.name for path in explored.glob("*.png")}
    assert {p["kind"] for p in summary["pictures"]} == {
        *("labels", "together", "colours", "averages", "samples")
    }
    assert summary["label_counts"]["clear"] == 3  # rows, whether their chip is there or not
    chips = summary["chips"]
    assert (chips["labelled"], chips["decoded"]) == (3, 4)
    assert (chips["rows_without_chip"], chips["chips_without_row"]) == (1, 1)
    assert chips["damaged"] == {"truncated": 1}
    assert chips["mean_colours"]["cloudy"] == {"red": None, "green": None, "blue": None}


@pytest.mark.parametrize("extension", ["jpg", "tif"])
def test_an_archive_of_damaged_chips_only_can_be_explored(tmp_path, extension):
    (tmp_path / f"a.{extension}").write_bytes(b"words")
    write_labels(tmp_path / "labels.csv", {"a": "sea sand"})
    flags = ["--chips", str(tmp_path), "--labels", str(tmp_path / "labels.csv")]
    assert main(["explore", *flags, "--output", str(tmp_path / "out")]) == 0
    assert rows_of(tmp_path / "out/damaged.csv")[1][1] == "not_an_image"
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["label_set"] == {"labels": ["sand", "sea"], "sky": []}


def test_tifs_are_stretched_and_their_near_infrared_is_averaged_too(tmp_path):
    for name, level in {"dark": 2000, "bright": 6000}.items():
        write_tif(tmp_path / f"{name}.tif", np.full((4, 16, 16), level, np.uint16))
    write_labels(tmp_path / "labels.csv", {"dark": "clear water", "bright": "clear"})
    flags = ["--chips", str(tmp_path), "--labels", str(tmp_path / "labels.csv")]
    assert main(["explore", *flags, "--output", str(tmp_path / "out")]) == 0
    table = {row[0]: row[1:] for row in rows_of(tmp_path / "out/mean_colours.csv")}
    assert table["label"] == ["chips", "blue", "green", "red", "near_infrared"]
    assert table["water"] == ["1", *["0.000000"] * 4]
    assert table["clear"] == ["2", *["127.500000"] * 4]
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["chips"]["scaling"] == [[2000, 6000]] * 4


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--output", "gs://bucket/out"], "local folder"),
        (["--output", __file__], "is a file"),
        (["--chips", "nowhere"], "nowhere"),
        (["--image_size", "513"], "512"),
        (["--media_type", "gif"], "gif"),
    ],
)
def test_a_usage_error_ends_with_2_and_one_line(tmp_path, capsys, flags, said):
    write_labels(tmp_path / "labels.csv", {"a": "clear"})
    given = ["--labels", str(tmp_path / "labels.csv"), "--output", str(tmp_path / "out"), *flags]
    assert main(["explore", *given]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_labels_that_cannot_be_read_end_with_1_and_one_line(tmp_path, capsys):
    assert main(["explore", "--labels", "x.csv", "--output", str(tmp_path / "out")]) == 1
    assert (
        capsys.readouterr().err
        == "error: --labels: cannot read 'x.csv': No such file or directory\n"
    )


def test_the_planet_labels_are_those_of_a_csv_that_names_some_of_them(tmp_path):
    write_labels(tmp_path / "labels.csv", {"a": "clear", "b": "clear water"})
    flags = ["--labels", str(tmp_path / "labels.csv"), "--output", str(tmp_path / "out")]
    assert main(["explore", *flags]) == 0
    names = [row[0] for row in rows_of(tmp_path / "out/label_counts.csv")[1:]]
    assert tuple(names) == PLANET_LABELS.names


def test_the_summary_of_another_program_is_never_replaced(tmp_path, capsys):
    write_labels(tmp_path / "labels.csv", {"a": "clear"})
    given = ["--labels", str(tmp_path / "labels.csv"), "--output", str(tmp_path / "out")]
    (tmp_path / "out").mkdir()
    for text in ('{"mine": 1}', "[]", "text"):
        (tmp_path / "out/summary.json").write_text(text)
        assert main(["explore", *given]) == 2
        assert "summary.json there would be replaced" in capsys.readouterr().err
        assert (tmp_path / "out/summary.json").read_text() == text
    (tmp_path / "out/summary.json").unlink()
    assert main(["explore", *given]) == main(["explore", *given]) == 0
