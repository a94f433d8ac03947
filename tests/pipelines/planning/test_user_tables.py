"""Whole columns are handled as `storage` handles one value."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.errors import UsageError
from pipelines.planning.manifests import clean_etags
from pipelines.planning.user_tables import absolute_uris, read_columns
from pipelines.storage import store

_FOLDERS = st.sampled_from(["/", "/data/a b", "gs://bucket", "s3://bucket/deep"])
_ADDRESSES = st.one_of(
    st.text("/.a:?&@~\n\\é森", min_size=1, max_size=9),
    st.builds(
        "{}{}".format,
        st.sampled_from(["gs://", "s3://b", "gs://b/"]),
        st.text("/.a?#=", max_size=6),
    ),
)


def _result(make_absolute):
    """The addresses, or the message about the first that is refused."""
    try:
        return make_absolute()
    except UsageError as error:
        return str(error)


@given(st.lists(_ADDRESSES, min_size=1, max_size=5), _FOLDERS)
@example(["file:///a/../b", "file://localhost/a%20b", "gs://b/a?x=1", "./a", "a", "/a"], "/f")
def test_addresses_become_absolute_as_storage_makes_them(uris, folder):
    column = pa.chunked_array([pa.array(uris[:2]), pa.array(uris[2:], pa.string())])
    expected = _result(lambda: [store.absolute_uri(uri, folder) for uri in uris])
    assert _result(lambda: absolute_uris(column, folder, "m").to_pylist()) == expected


@given(st.lists(st.none() | st.text('W/"a\n', max_size=6)))
def test_etags_are_cleaned_as_storage_cleans_them(etags):
    cleaned = clean_etags(pa.chunked_array([pa.array(etags, pa.string())]))
    assert cleaned.to_pylist() == [store.clean_etag(etag) for etag in etags]


@pytest.mark.parametrize("uris", [pa.array(["a", None]), pa.array([1, 2]), pa.array(["a", ""])])
def test_addresses_that_are_not_text_are_refused(uris):
    with pytest.raises(UsageError, match="m: chip_uri must be text"):
        absolute_uris(pa.chunked_array([uris]), "/f", "m")


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_addresses_may_be_any_kind_of_text(kind):
    uris = pa.chunked_array([pa.array(["a", "/b", "a"]).cast(kind)])
    assert absolute_uris(uris, "/f", "m").to_pylist() == ["/f/a", "/b", "/f/a"]


def test_no_message_has_a_row_of_a_csv_that_is_not_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("words\nsecret: 1,secret: 2\n")
    with pytest.raises(UsageError, match="Expected 1 columns, got 2") as caught:
        read_columns(str(path), "manifest", ["chip_uri"], ["chip_uri"], "--chips")
    assert "secret" not in str(caught.value)
