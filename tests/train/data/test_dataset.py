"""Labels, splits and archives: what is accepted, what is counted, and what is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.errors import UsageError
from pipelines.imaging.tiff_bands import TifKind
from schemas.artifact import BANDS, Preprocessing
from schemas.labels import PLANET_LABELS, LabelSet
from tests.support.drawn_chips import draw_jpg, write_labels, write_tif
from train.data import radiometry
from train.data.chip_format import ChipFormat, find_format
from train.data.dataset import choose_media_type, keep_sky, list_training_chips, match_chips
from train.data.examples import count_set_aside, decode_chips, truth_of
from train.data.label_files import (
    LabelRow,
    check_rows,
    read_labels,
    read_scenes,
    read_split,
    rows_of_media_type,
    split_extension,
)
from train.data.label_sets import choose_label_set, read_label_set
from train.data.radiometry import percentile_scaling, preprocessing_for

FOUR = ChipFormat("tif", TifKind(BANDS["tif"], "uint16", named=False))
JPG = Preprocessing("jpg", 8, BANDS["jpg"], None, (1, 512))


def rows(**tags: str) -> list[LabelRow]:
    return [LabelRow(name, None, frozenset(held.split())) for name, held in tags.items()]


def local(*uris: str) -> dict[str, str | None]:
    return dict.fromkeys(uris)


def csv(tmp_path, text: str, encoding: str = "utf-8") -> str:
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode(encoding))
    return str(path)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("image_name,tags\na,clear primary\nb,\n", "utf-8"),
        ("image_name,tags\r\na,clear primary\r\nb,\r\n", "utf-8"),
        ("image_name,tags\na,clear primary\nb,\n", "utf-8-sig"),
        (" image_name , tags \n a ,  clear   primary \n\n b , \n  \n", "utf-8"),
        ("image_name,tags\na.jpg,clear primary\nb.JPEG,\n", "utf-8"),
        ("split,tags,image_name,x\ntrain,clear primary,a,1\nval,,b,\n", "utf-8"),
        ('image_name,tags\n"a","clear primary"\n"b", ""\n', "utf-8"),
        ("image_name,tags\na,clear primary\nb", "utf-8"),
    ],
    ids=["plain", "windows", "bom", "spaces", "extensions", "columns", "quotes", "short row"],
)
def test_a_labels_csv_is_read_in_all_its_usual_forms(tmp_path, text, encoding):
    found, _ = read_labels(csv(tmp_path, text, encoding))
    assert [row.name for row in found] == ["a", "b"]
    assert [row.tags for row in found] == [{"clear", "primary"}, set()]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("image_name,tags\n", "no rows"),
        ("name,tags\na,clear\n", "image_name"),
        ("image_name,labels\na,clear\n", "image_name and tags"),
        ("image_name,tags,tags\na,clear,primary\n", "image_name and tags"),
        ("image_name,tags\na,clear,primary\n", "row 2 has 3 fields"),
        ("image_name,tags\n,clear\n", "row 2 has no image_name"),
        ("image_name,tags\na,\n", "no row has any tag"),
    ],
)
def test_a_labels_csv_that_would_be_misread_is_refused(tmp_path, text, named):
    with pytest.raises(UsageError, match=named):
        read_labels(csv(tmp_path, text))


def test_a_csv_in_another_encoding_is_refused(tmp_path):
    with pytest.raises(UsageError, match="UTF-8"):
        read_labels(csv(tmp_path, "image_name,tags\né,clear\n", "latin-1"))


@pytest.mark.parametrize("name", ["train 1", 'quo"te', "tab\tname", "naïve-雲", "v1.2"])
def test_names_may_have_any_letters(name):
    assert split_extension(name) == (name, None)
    assert split_extension(name + ".TIFF") == (name, "tif")


def test_a_name_twice_is_refused_within_a_media_type_only():
    both = [LabelRow("a", "jpg", frozenset()), LabelRow("a", "tif", frozenset())]
    assert rows_of_media_type(both, "jpg") == {"a": both[0]}
    with pytest.raises(UsageError, match="occur twice: 'a'"):
        rows_of_media_type([*both, LabelRow("a", None, frozenset())], "jpg")


def test_a_split_takes_val_for_validation_and_extensions_and_any_case(tmp_path):
    text = "image_name,split\na.jpg,train\nb, VAL\nc,validation\nd,test\n"
    expected = {"a": "train", "b": "validation", "c": "validation", "d": "test"}
    assert read_split(csv(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("image_name,split\na,training\n", "'training'"),
        ("image_name,split\na,train\na,test\n", "two parts: 'a'"),
        ("image_name,tags\na,clear\n", "columns image_name and split; found image_name, tags"),
    ],
)
def test_an_invalid_split_is_refused(tmp_path, text, named):
    with pytest.raises(UsageError, match=named):
        read_split(csv(tmp_path, text))


def test_the_planet_labels_are_used_if_the_file_has_sky_labels_or_only_planet_labels():
    assert choose_label_set({"clear", "primary"}) is PLANET_LABELS
    assert choose_label_set({"primary", "water"}) is PLANET_LABELS


def test_a_misspelt_planet_label_is_refused_by_name():
    with pytest.raises(UsageError, match="unknown labels: 'artisanal_mine'"):
        choose_label_set({"artisanal_mine", "clear", "haze", "primary"})


def test_other_labels_make_a_label_set_of_their_own_without_a_sky():
    chosen = choose_label_set({"dock", "mobile-home", "water"})
    assert chosen == LabelSet(("dock", "mobile-home", "water"))


def test_labels_that_would_share_a_column_are_refused():
    with pytest.raises(UsageError, match="'a-b', 'a_b'"):
        choose_label_set({"a-b", "a_b"})


def test_a_label_set_file_adds_labels_and_its_mistakes_are_reported(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text('{"labels": ["clear", "cloudy", "glacier"], "sky": ["clear", "cloudy"]}')
    label_set = read_label_set(str(path))
    check_rows(rows(a="clear glacier"), label_set)
    with pytest.raises(UsageError, match="unknown labels: 'primary'"):
        check_rows(rows(a="primary"), label_set)
    path.write_text('{"labels": ["a", "a"]}')
    with pytest.raises(UsageError, match="named twice"):
        read_label_set(str(path))


def test_two_sky_labels_in_a_row_are_refused_with_the_name_of_the_chip():
    with pytest.raises(UsageError, match=r"'b \(clear haze\)'"):
        check_rows(rows(a="clear", b="clear haze"), PLANET_LABELS)


def test_an_archive_is_listed_by_media_type_without_other_files(tmp_path):
    for name in ("a.jpg", "sub/b.JPEG", "c.tiff", "labels.csv", "a.png", "a.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = list_training_chips(str(tmp_path))
    assert {kind: len(uris) for kind, uris in found.items()} == {"jpg": 2, "png": 1, "tif": 1}
    assert choose_media_type(found, None) == "jpg"
    assert choose_media_type({"png": ["a.png"], "tif": ["c.tif"]}, None) == "tif"
    assert choose_media_type({"png": ["a.png"]}, None) == "png"
    with pytest.raises(UsageError, match="no tif"):
        choose_media_type({"jpg": ["a.jpg"]}, "tif")


@pytest.mark.parametrize("missing", ["nowhere", "empty"])
def test_an_archive_without_chips_is_refused(tmp_path, missing):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="--chips"):
        list_training_chips(str(tmp_path / missing))


def test_rows_without_chip_and_chips_without_row_and_rows_without_sky_are_counted():
    table = rows_of_media_type(rows(a="clear", b="water", gone="haze"), "jpg")
    chips = match_chips(table, local("x/b.jpg", "x/a.jpg", "x/c.jpg", "x/d.jpg"), PLANET_LABELS)
    assert list(chips.uris) == ["a", "b"]
    counts = (chips.rows_without_chip, chips.chips_without_row, chips.rows_without_sky_label)
    assert counts == (1, 2, 1)


def test_sky_labels_are_not_expected_if_the_label_set_has_none():
    chips = match_chips(
        rows_of_media_type(rows(a="dock"), "jpg"), local("a.jpg"), LabelSet(("dock",))
    )
    assert chips.rows_without_sky_label == 0


def test_the_order_of_the_labels_csv_is_kept_too():
    table = rows_of_media_type(rows(b="clear", gone="haze", a="clear"), "jpg")
    chips = match_chips(table, local("x/a.jpg", "x/b.jpg"), PLANET_LABELS)
    assert chips.listed == ("b", "a")
    assert list(chips.uris) == ["a", "b"]


def test_scenes_are_read_if_there_are_any(tmp_path):
    path = csv(tmp_path, "image_name,tags,scene_id\na.jpg,clear,s1\na.tif,clear,s1\nb,haze,\n")
    assert read_scenes(None, path) == read_scenes(path) == {"a": "s1"}
    without = csv(tmp_path, "image_name,tags\na,clear\n")
    assert read_scenes(without) == {}
    with pytest.raises(UsageError, match="image_name and scene_id; found"):
        read_scenes(None, without)
    with pytest.raises(UsageError, match="two scenes: 'a'"):
        read_scenes(csv(tmp_path, "image_name,scene_id\na,s1\na,s2\n"))


def test_two_files_of_one_name_and_a_csv_about_other_chips_are_refused():
    table = rows_of_media_type(rows(a="clear"), "jpg")
    with pytest.raises(UsageError, match=r"two files have the name 'a': x/a\.jpg and y/a\.jpeg"):
        match_chips(table, local("x/a.jpg", "y/a.jpeg"), PLANET_LABELS)
    with pytest.raises(UsageError, match="no chip has a row"):
        match_chips(table, local("x/b.jpg"), PLANET_LABELS)


def test_decoding_keeps_the_order_and_names_chips_that_cannot_be_decoded(tmp_path):
    colours = {"a": (200, 0, 0), "c": (0, 0, 200), "d": (0, 200, 0)}
    for name, colour in colours.items():
        (tmp_path / f"{name}.jpg").write_bytes(draw_jpg(colour, 40, 100))
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    write_labels(tmp_path / "l.csv", {"a": "clear", "b": "haze", "c": "haze", "d": "", "e": ""})
    table = rows_of_media_type(read_labels(str(tmp_path / "l.csv"))[0], "jpg")
    chips = match_chips(table, list_training_chips(str(tmp_path))["jpg"], PLANET_LABELS)
    found = decode_chips(list(chips.uris), chips, PLANET_LABELS, JPG)
    assert found.names == ("a", "c", "d")
    assert found.pixels.shape == (3, 8, 8, 3)
    assert found.pixels.dtype == np.uint8
    np.testing.assert_allclose(found.pixels[:].mean(axis=(1, 2)), list(colours.values()), atol=4)
    assert found.truth.sum(axis=1).tolist() == [1, 1, 0]
    assert found.sides == (40, 100)
    set_aside = count_set_aside(chips, list(chips.uris)[:-1], [found])
    assert set_aside == {
        "rows_without_chip": 1,
        "chips_without_row": 0,
        "chips_without_part": 1,
        "rows_without_sky_label": 1,
        "chips_without_learned_label": 0,
        "rejected": {"not_an_image": 1},
    }


def test_for_sky_labels_only_other_labels_and_chips_without_a_sky_label_are_removed(tmp_path):
    held = rows(a="clear primary", b="water", c="haze", d="")
    uris = local(*(f"/chips/{name}.jpg" for name in "abcd"))
    chips = keep_sky(match_chips({r.name: r for r in held}, uris, PLANET_LABELS), PLANET_LABELS)
    assert chips.tags == {"a": {"clear"}, "c": {"haze"}}
    assert chips.uris == {"a": "/chips/a.jpg", "c": "/chips/c.jpg"}
    assert count_set_aside(chips, "ac", [])["chips_without_learned_label"] == 2
    with pytest.raises(UsageError, match="no chip has a sky label"):
        keep_sky(match_chips({"b": held[1]}, uris, PLANET_LABELS), PLANET_LABELS)


def test_truth_follows_the_order_of_the_label_set():
    label_set = LabelSet(("x", "y", "z"))
    truth = truth_of([frozenset({"z", "x"}), frozenset()], label_set)
    assert truth.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert truth_of([], label_set).shape == (0, 3)


def test_tif_bands_are_scaled_between_the_percentiles_of_the_training_chips(tmp_path):
    values = np.zeros((4, 10, 10), np.uint16)
    values[:] = np.arange(100).reshape(10, 10)
    values *= np.array([10, 20, 30, 40], np.uint16)[:, None, None]
    write_tif(tmp_path / "a.tif", values)
    (tmp_path / "b.tif").write_bytes(b"II*\0 broken")
    uris = [str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]
    found = preprocessing_for(FOUR, 10, ("red", "green", "blue"), uris, seed=0)
    expected = [np.percentile(values[band], (2, 98)).tolist() for band in (2, 1, 0)]
    np.testing.assert_allclose(found.scaling, expected, rtol=1e-5)
    assert found.bands == ("red", "green", "blue")


def test_a_sample_of_the_pixels_of_large_chips_has_nearly_the_same_scaling(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for name in "abc":
        write_tif(tmp_path / f"{name}.tif", rng.integers(0, 10_000, (4, 64, 64), np.uint16))
    uris = [str(tmp_path / f"{name}.tif") for name in "abc"]
    whole = preprocessing_for(FOUR, 64, BANDS["tif"], uris, seed=0).scaling
    monkeypatch.setattr(radiometry, "MAX_SAMPLED_PIXELS", 1000)
    sampled = preprocessing_for(FOUR, 64, BANDS["tif"], uris, seed=0).scaling
    assert sampled != whole
    np.testing.assert_allclose(sampled, whole, atol=100)
    assert preprocessing_for(FOUR, 64, BANDS["tif"], uris, seed=0).scaling == sampled


def test_a_band_without_contrast_still_gets_a_scaling(tmp_path):
    write_tif(tmp_path / "a.tif", np.full((4, 8, 8), 3000, np.uint16))
    wide = Preprocessing("tif", 8, BANDS["tif"], ((0.0, 65535.0),) * 4, (1, 512))
    assert percentile_scaling([str(tmp_path / "a.tif")], wide, 0) == ((3000.0, 3001.0),) * 4


def test_tifs_that_cannot_be_decoded_at_all_are_refused_with_the_reason(tmp_path):
    (tmp_path / "b.tif").write_bytes(b"")
    uris = [str(tmp_path / "b.tif")]
    with pytest.raises(UsageError, match="no bytes"):
        preprocessing_for(FOUR, 8, BANDS["tif"], uris, seed=0)
    with pytest.raises(UsageError, match="none of the 1 training tifs can be decoded: the"):
        find_format("tif", uris, seed=0)


def test_names_that_systems_add_are_not_training_chips(tmp_path, capsys):
    for name in ("a.jpg", "._a.jpg", ".DS_Store", "__MACOSX/._a.jpg", "sub/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert list(list_training_chips(str(tmp_path))["jpg"]) == [
        str(tmp_path / "a.jpg"),
        str(tmp_path / "sub" / "b.jpg"),
    ]
    assert "ignored 3 files with hidden names" in capsys.readouterr().out


def test_a_folder_of_other_pictures_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"1 GIF file, none ending .*convert them as docs/data.md"):
        list_training_chips(str(tmp_path))
