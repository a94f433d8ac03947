"""Names that operating systems add are found below what was listed, and nowhere else."""

import posixpath
import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.storage.hidden_names import find_hidden, is_hidden

ADDED = [
    *("._a.jpg", ".DS_Store", ".Trashes", "..a", "...", ".a.jpg.swp", ".\n"),
    *("__MACOSX", "__macosx", "Icon\r", "Thumbs.db", "thumbs.DB", "desktop.ini", "ehthumbs.db"),
    *("$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir", "#recycle"),
]
ORDINARY = [
    *("a.jpg", "a", "_a.jpg", "a.", "a..jpg", "~a.jpg", "MACOSX", "__MACOSX2", "Thumbs.db.jpg"),
    *("xlost+found", ".", "..", " .a", "-", "森.jpg", "desktop.ini.tif"),
]
PARTS = st.lists(st.sampled_from([*ADDED, *ORDINARY]), min_size=1, max_size=4)
FOLDERS = st.lists(st.sampled_from([*ADDED, *ORDINARY, "[a]", "x*"]), max_size=3)


def hidden(names: list[str], listed: str) -> list[bool]:
    return find_hidden(pa.chunked_array([pa.array(names, pa.string())]), listed).to_pylist()


@pytest.mark.parametrize("name", ADDED)
def test_names_that_systems_add_are_hidden(name):
    assert is_hidden(name)


@pytest.mark.parametrize("name", ORDINARY)
def test_other_names_are_not_hidden(name):
    assert not is_hidden(name)


@given(FOLDERS, st.lists(PARTS, min_size=1, max_size=5))
def test_a_name_counts_below_the_folder_that_was_listed_only(folder, files):
    root = "/" + "/".join(folder) if folder else "gs://bucket"
    expected = [any(part in ADDED for part in parts) for parts in files]
    names = [posixpath.join(root, *parts) for parts in files]
    assert hidden(names, root) == expected


@pytest.mark.parametrize(
    ("glob", "name", "expected"),
    [
        ("/d/*.jpg", "/d/a.jpg", False),
        ("/d/*.jpg", "/d/._a.jpg", True),
        ("/d/._*.jpg", "/d/._a.jpg", False),
        ("/.d/*.jpg", "/.d/a.jpg", False),
        ("/d/*/.cache/*.jpg", "/d/x/.cache/a.jpg", False),
        ("/d/*/.cache/*.jpg", "/d/x/.cache/._a.jpg", True),
        ("/d/*/.cache/*.jpg", "/d/.x/.cache/a.jpg", True),
        ("/d/**", "/d/x/__MACOSX/a.jpg", True),
        ("s3://b/.x/n?/**/*.jpg", "s3://b/.x/n1/a.jpg", False),
        ("/d/.*/*.jpg", "/d/.x/a.jpg", False),
    ],
)
def test_what_a_glob_names_itself_is_asked_for_as_in_a_shell(glob, name, expected):
    assert hidden([name, name], glob) == [expected, expected]


def test_one_object_by_its_own_address_is_never_hidden():
    for uri in ("/d/._a.jpg", "gs://b/.x/.a.jpg", "/d/__MACOSX"):
        assert hidden([uri], uri) == [False]


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_any_text_is_judged_by_its_parts(texts):
    expected = [any(map(is_hidden, re.split("/", text))) for text in texts]
    assert hidden(texts, "") == expected
