"""Any name is only data: from the listing through the tables to SQL and its answers."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st

from beam_jobs.answers import FORMATS
from beam_jobs.query import ask
from pipelines.storage.hidden_names import is_hidden
from pipelines.storage.store import file_stem, join_uri, write_bytes
from tests.support.client_writes import put_by_client
from tests.support.samples import jpg_bytes

Score = Callable[..., int]
ODD = [
    *("..", "...", " ", "\n", "a\nb", "\r", "\t", "'", "''; DROP TABLE chip_scores; --", '"', "`"),
    *("*", "[a]", "?", "{a}", "%20", "%", "$HOME", "~", "-", "--output", "#", "a#b", "\\", "NULL"),
    *(
        "\x1b[31m",
        "\x7f",
        "\u202e",
        "\u200b",
        "é",
        "e\u0301",
        "森林",
        "🌳",
        "=1+1",
        "<script>",
        "a.jpg",
    ),
]
NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=50
)
LONG = "/".join("x" * 239 for _ in range(4)) + "/" + "y" * 40  # 1,000 characters
JPG = jpg_bytes()


def published(output: str) -> dict[str, str]:
    """Address to id of the chips that readers see; each of them once."""
    sql = "SELECT chip_uri, chip_id FROM chip_scores UNION ALL SELECT chip_uri, chip_id FROM "
    rows = ask(output, f"{sql} quarantine").to_pylist()
    found = {row["chip_uri"]: row["chip_id"] for row in rows}
    assert len(found) == len(rows)
    return found


def check_answers(output: str, uris: Sequence[str]) -> None:
    """SQL finds each chip by its name, and every format prints the names unchanged."""
    for uri in uris:
        quoted = uri.replace("'", "''")
        for table in ("chip_scores", "latest_chip_scores"):
            sql = f"SELECT count(*) AS n FROM {table} WHERE chip_uri = '{quoted}'"
            assert ask(output, sql).to_pylist() == [{"n": 1}], uri
    answer = ask(output, "SELECT chip_uri FROM chip_scores ORDER BY chip_uri")
    named = answer["chip_uri"].to_pylist()
    assert [row["chip_uri"] for row in json.loads(FORMATS["json"](answer))] == named
    lines = list(csv.reader(io.StringIO(FORMATS["csv"](answer), newline="")))
    assert [row[0] for row in lines[1:]] == named
    assert len(FORMATS["table"](answer).splitlines()) == len(named) + 2


@settings(max_examples=2, deadline=None)
@given(names=st.sets(NAMES, min_size=1, max_size=12), folder=NAMES)
@example(names={*ODD, LONG}, folder="'; DROP TABLE runs; --\n*")
def test_any_local_name_is_unchanged_from_listing_to_answer(quick_score, artifact, names, folder):
    with tempfile.TemporaryDirectory() as place:
        archive, output = f"{place}/x{folder}", f"{place}/out"
        names = {f"{name}.jpg" for name in names}
        uris = [f"{archive}/{name}" for name in sorted(names) if not is_hidden(name)] or [
            f"{archive}/a.jpg"
        ]
        for number, uri in enumerate(uris):
            write_bytes(uri, JPG if number % 5 < 4 else b"")
        flags = {"chips": archive, "artifact": artifact, "output": output}
        assert quick_score(**flags, max_quarantine_ratio=1) == 0
        assert published(output) == {uri: file_stem(uri) for uri in uris}
        check_answers(output, [uri for number, uri in enumerate(uris) if number % 5 < 4])
        assert quick_score(**flags) == 0
        (again,) = ask(output, "SELECT * FROM runs ORDER BY planned_at DESC LIMIT 1").to_pylist()
        assert (again["listed"], again["skipped"]) == (len(uris), len(uris))


def test_any_object_name_is_unchanged_from_listing_to_answer(
    quick_score, artifact, s3_uri, tmp_path
):
    """Names that obstore confuses with others are quarantined under their own name."""
    names = [name for name in ODD if not set(name) & set("\n\r\t\x1b\x7f")]
    plain = [f"night/{name}.jpg" for name in names if not is_hidden(f"{name}.jpg")]
    odd = ["night/../x.jpg", "night//x.jpg", "night/a\tb.jpg", "night/./x.jpg"]
    long = "night/" + "/".join("x" * 200 for _ in range(4)) + "/" + "y" * 180 + ".jpg"
    for name in [*plain, long]:
        write_bytes(join_uri(s3_uri, name), JPG)
    for name in odd:
        put_by_client(s3_uri, name)
    output = str(tmp_path / "out")
    flags = {"chips": f"{s3_uri}/night", "artifact": artifact, "output": output}
    assert quick_score(**flags, max_quarantine_ratio=1) == 0
    uris = {name: join_uri(s3_uri, name) for name in [*plain, *odd, long]}
    assert published(output) == {uri: file_stem(uri) for uri in uris.values()}
    check_answers(output, [uris[name] for name in [*plain, long]])
    unreadable = ask(output, "SELECT chip_uri, reason FROM quarantine").to_pylist()
    assert {row["chip_uri"]: row["reason"] for row in unreadable} == {
        uris[name]: "unreadable" for name in odd
    }
