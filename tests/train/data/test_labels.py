"""Labels in every form that people have them: what is read, what is printed, what is refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import StorageError, UsageError
from schemas.labels import PLANET_LABELS, LabelSet
from tests.support.drawn_chips import draw_jpg
from train.data.dataset import load_labelled_chips
from train.data.label_files import read_scenes
from train.data.labels import read_labelled_rows


def read(tmp_path: Path, text: str | bytes, **more) -> dict[str, set[str]]:
    """The labels by name of a labels csv with this content."""
    path = tmp_path / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    rows, _ = read_labelled_rows(str(path), None, **more)
    return {row.name: set(row.tags) for row in rows}


def tagged(*tags: str) -> str:
    """A labels csv with these tags, quoted as csv needs it."""
    text = io.StringIO()
    write = csv.writer(text).writerow
    write(["image_name", "tags"])
    for number, cell in enumerate(tags):
        write([f"c{number}", cell])
    return text.getvalue()


# --- Separators ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "separator"),
    [
        ("clear  primary ", "spaces"),
        ("clear;primary", "semicolons"),
        ("clear,primary", "commas"),
        (" clear ,  primary,,clear, ", "commas"),
        (';"clear"; primary;', "semicolons"),
        ("'clear' primary", "spaces"),
        ('"clear" "primary"', "spaces"),
    ],
)
def test_the_separator_of_tags_is_found_and_printed(tmp_path, capsys, tags, separator):
    assert read(tmp_path, tagged(tags, "haze")) == {"c0": {"clear", "primary"}, "c1": {"haze"}}
    assert f"(tags separated by {separator})" in capsys.readouterr().out


@pytest.mark.parametrize(
    "tags",
    [
        ("bare soil;open sea", "trees"),
        ('"bare soil"; "open sea"', "trees"),
        ("'bare soil','open sea'", "trees,"),
        ('"bare soil" "open sea"', "trees"),
    ],
)
def test_names_may_contain_spaces_next_to_another_separator_or_in_quotes(tmp_path, tags):
    assert read(tmp_path, tagged(*tags)) == {"c0": {"bare soil", "open sea"}, "c1": {"trees"}}


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (("sea,ship", "sea;dock"), "commas (row 2) and semicolons (row 3); use one separator"),
        (("sea ship", "sea;dock"), "'sea ship' may be one label or several"),
        (("clear primary", "haze,water"), "'clear primary' may be one label or several"),
        (("clear|primary", "haze"), "'clear|primary' may be one label or several"),
        (("clear/primary", "haze/water"), "'clear/primary' may be one label or several"),
        (("['sea', 'ship']", "['dock']"), "row 2: the tags \"['sea', 'ship']\" are unclear"),
        (('["sea", "ship"]', "[]"), "are unclear; separate names by spaces"),
        (('sea;"open sea', "dock"), "row 2: the tags"),
    ],
)
def test_tags_that_could_be_read_in_two_ways_are_refused(tmp_path, tags, said):
    with pytest.raises(UsageError) as refused:
        read(tmp_path, tagged(*tags))
    assert said in str(refused.value)


def test_a_name_of_the_label_set_file_is_never_taken_for_several(tmp_path):
    chosen = LabelSet(("sea", "open sea"))
    found = read(tmp_path, tagged("open sea;sea", "sea"), label_set=chosen)
    assert found == {"c0": {"open sea", "sea"}, "c1": {"sea"}}


_NAME = st.from_regex(r"[a-zé][a-z0-9é-]{0,5}", fullmatch=True).map(lambda n: f"{n}x")


@given(
    st.lists(st.lists(_NAME, min_size=1, max_size=4, unique=True), min_size=1, max_size=6),
    st.sampled_from([" ", ",", ";", "; ", " , "]),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_labels_are_read_back_from_any_csv_dialect(
    tmp_path_factory, labels, separator, delimiter, encoding, line_end
):
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end)
    writer.writerow(["image_name", "tags"])
    writer.writerows([f"c{n}.jpg", separator.join(held)] for n, held in enumerate(labels))
    path = tmp_path_factory.mktemp("csv") / "labels.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    rows, _ = read_labelled_rows(str(path), None, LabelSet(tuple(sorted(set().union(*labels)))))
    assert [row.tags for row in rows] == [frozenset(held) for held in labels]


# --- Columns ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "image_name,clear,primary\na.jpg,1,0\nb.jpg,0,1\n",
        "image_name;clear;primary\na.jpg;1.0;0.0\nb.jpg;0.0;1.0\n",
        "split\timage_name\tclear\tprimary\ntrain\ta\tTrue\tFalse\nval\tb\tfalse\ttrue\n",
        ",image_name,scene_id,clear,primary\n7,a,s1,yes,no\n8,b,s1,no,yes\n",
        "image_name,clear,primary,tags\na,9,9,clear\nb,9,9,primary\n",
    ],
)
def test_one_column_for_each_label_is_read_whatever_is_between_columns(tmp_path, capsys, text):
    assert read(tmp_path, text) == {"a": {"clear"}, "b": {"primary"}}
    assert "17 labels of Planet in 2 rows: clear 1, partly_cloudy 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("filename,label\na,sea\n", "image_name and tags; found filename, label"),
        ("filename;label\na;sea\n", "image_name and tags; found filename, label"),
        ("image_name,label\na,sea\n", "found image_name, label (without tags, each label needs a"),
        ("image_name,sea,sea\na,1,0\n", "(each of them once); found image_name, sea, sea"),
        ("image_name,sea,dock\na,1,0\nb,1,0.5\n", "row 3 has '0.5' in the column dock"),
        ("image_name,sea,dock\na,1,0\nb,1\n", "row 3 has '' in the column dock"),
        ("image_name\na\n", "image_name and tags; found image_name"),
        ("", "image_name and tags; found an empty file"),
        ("image_name,sea\na,0\n", "no row has any tag"),
    ],
)
def test_other_columns_are_refused_with_those_that_were_found(tmp_path, text, said):
    with pytest.raises(UsageError, match=r"^--labels \S+labels.csv") as refused:
        read(tmp_path, text)
    assert said in str(refused.value)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le", "utf-32"])
def test_another_encoding_is_refused_with_what_to_do(tmp_path, encoding):
    with pytest.raises(UsageError, match="save it as CSV UTF-8"):
        read(tmp_path, "image_name,tags\na,forêt\n".encode(encoding))


def test_a_missing_file_is_reported_with_its_flag():
    with pytest.raises(StorageError, match=r"^--test_labels: cannot read 'nowhere\.csv'"):
        read_labelled_rows("nowhere.csv", None, flag="--test_labels")


# --- Label sets ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "nearest"),
    [
        (["Clear Primary", "Partly_Cloudy Road"], {"Clear": "clear", "Road": "road"}),
        (["Clear, Partly Cloudy", "Cloudy"], {"Partly Cloudy": "partly_cloudy"}),
        (["primary", "artisanal_mine road"], {"artisanal_mine": "artisinal_mine"}),
        (["haze artisanal_mine"], {"artisanal_mine": "artisinal_mine"}),
        (["primary;slash-burn"], {"slash-burn": "slash_burn"}),
        (["primary;road", "bare ground"], {"bare ground": "bare_ground"}),
        (["primray water"], {"primray": "primary"}),
        (["watr rood"], {"watr": "water", "rood": "road"}),
        (["ROAD water", "habitation farm"], {"ROAD": "road"}),
        (["Haze sea ship dock"], {"Haze": "haze"}),
    ],
)
def test_labels_that_are_planets_but_for_their_spelling_are_refused(tmp_path, tags, nearest):
    with pytest.raises(UsageError, match="--label_set") as refused:
        read(tmp_path, tagged(*tags))
    for name, near in nearest.items():
        assert f"{name!r} (nearest: {near})" in str(refused.value)


@pytest.mark.parametrize(
    "names",
    [
        {"airplane", "Water", "dock"},
        {"roads", "water", "buildings", "trees"},
        {"rood", "dock", "sea"},
        {"mobile-home", "water", "sand"},
        {"cloud", "sea", "ship"},
    ],
)
def test_a_label_set_that_shares_some_names_with_planets_is_one_of_its_own(tmp_path, names):
    path = tmp_path / "labels.csv"
    path.write_text(tagged(" ".join(names)))
    assert read_labelled_rows(str(path), None)[1] == LabelSet(tuple(sorted(names)))


def test_a_label_set_file_makes_any_names_labels(tmp_path):
    (tmp_path / "set.json").write_text('{"labels": ["Clear", "Primary"]}')
    found = read(tmp_path, tagged("Clear Primary"), label_set=str(tmp_path / "set.json"))
    assert found == {"c0": {"Clear", "Primary"}}
    with pytest.raises(UsageError, match=r"unknown labels: 'Clea' \(nearest: Clear\)"):
        read(tmp_path, tagged("Clea"), label_set=str(tmp_path / "set.json"))


# --- Folders ------------------------------------------------------------------------------------


def draw_folders(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(draw_jpg((9, 9, 9), 8))
    return str(folder)


def test_without_a_csv_each_folder_is_a_class(tmp_path, capsys):
    chips = draw_folders(tmp_path, "sea/1.jpg", "sea/2.jpg", "bare soil/1.jpg")
    for labels in (None, chips):
        rows, label_set = read_labelled_rows(labels, chips)
        assert {row.name: set(row.tags) for row in rows} == {
            "sea/1": {"sea"},
            "sea/2": {"sea"},
            "bare soil/1": {"bare soil"},
        }
        assert label_set.names == ("bare soil", "sea")
        out = capsys.readouterr().out
        assert "(one folder per class)\n  2 labels in 3 rows: bare soil 1, sea 2" in out


def test_equal_names_in_class_folders_are_chips_of_their_own(tmp_path):
    chips = draw_folders(tmp_path, "sea/1.jpg", "soil/1.jpg")
    rows, label_set = read_labelled_rows(None, chips)
    found = load_labelled_chips(chips, rows, label_set)
    assert found.uris == {"sea/1": f"{chips}/sea/1.jpg", "soil/1": f"{chips}/soil/1.jpg"}
    assert found.tags == {"sea/1": {"sea"}, "soil/1": {"soil"}}


def test_two_files_of_one_name_are_refused_with_both_addresses(tmp_path):
    chips = draw_folders(tmp_path / "chips", "sea/1.jpg", "soil/1.jpg")
    (tmp_path / "labels.csv").write_text("image_name,tags\n1,sea\n", encoding="utf-8")
    rows, label_set = read_labelled_rows(str(tmp_path / "labels.csv"), chips)
    with pytest.raises(UsageError, match=r"'1': .*/sea/1\.jpg and .*/soil/1\.jpg"):
        load_labelled_chips(chips, rows, label_set)
    (tmp_path / "labels.csv").write_text("image_name,tags\nsea/1,sea\nsoil/1,soil\n", "utf-8")
    rows, label_set = read_labelled_rows(str(tmp_path / "labels.csv"), chips)
    assert load_labelled_chips(chips, rows, label_set).tags == {
        "sea/1": {"sea"},
        "soil/1": {"soil"},
    }
    draw_folders(tmp_path / "chips", "sea/1.jpeg")
    with pytest.raises(UsageError, match=r"'sea/1': .*/sea/1\.jpeg and .*/sea/1\.jpg"):
        read_labelled_rows(None, chips)


def test_hidden_files_of_folders_are_counted_once(tmp_path, capsys):
    chips = draw_folders(tmp_path, "sea/1.jpg", "sea/._1.jpg", "soil/1.jpg")
    rows, label_set = read_labelled_rows(None, chips)
    load_labelled_chips(chips, rows, label_set)
    assert capsys.readouterr().out.count("ignored 1 file with a hidden name") == 1


def test_a_split_of_folders_has_no_scenes(tmp_path):
    chips = draw_folders(tmp_path, "sea/1.jpg", "soil/1.jpg")
    assert read_scenes(chips) == {}


def test_folders_with_planets_names_are_planets_labels(tmp_path):
    chips = draw_folders(tmp_path, "clear/1.jpg", "haze/1.jpg")
    assert read_labelled_rows(None, chips)[1] == PLANET_LABELS
    with pytest.raises(UsageError, match="'Road' "):
        read_labelled_rows(None, draw_folders(tmp_path / "x", "Road/1.jpg", "water/1.jpg"))


@pytest.mark.parametrize(
    "names",
    [["1.jpg", "2.jpg"], ["sea/1.jpg"], ["sea/1.jpg", "2.jpg"], ["sea/1.jpg", "a/b/2.jpg"]],
)
def test_chips_that_are_not_in_one_folder_per_class_need_a_csv(tmp_path, names):
    with pytest.raises(UsageError, match="--labels is missing"):
        read_labelled_rows(None, draw_folders(tmp_path / "chips", *names))


def test_a_folder_is_no_csv(tmp_path):
    with pytest.raises(UsageError, match="is a folder: give a csv, or leave --labels out"):
        read_labelled_rows(str(tmp_path), None)
