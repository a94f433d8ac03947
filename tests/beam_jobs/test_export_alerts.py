import csv
import io
import json
import warnings
from datetime import UTC, datetime
from pathlib import Path

import geopandas
import geoparquet_validator
import pyogrio
import pytest
import shapely

from beam_jobs.export_alerts import main
from beam_jobs.record_verdicts import main as record_command
from pipelines.commands import exit_code
from pipelines.exports import GFW_BYTES, GFW_POLYGONS
from schemas.place_tables import PLACES
from schemas.verdict_table import VERDICTS
from tests.support.alert_rows import (
    add_rows,
    alert,
    change,
    many_alerts,
    unplaced,
    verdict,
    write_alerts,
)
from tests.support.published_runs import at

ENDINGS = (".geojson", ".gpkg", ".csv", ".fgb", ".parquet")
HOSTILE = '=HYPERLINK("http://x";"<b>"),\n\u202e"'
ALERTS = [
    alert(0, areas=["Jamanxim", "Tapajós"], proven=None),
    alert(1, status="high", updated_at=at(12)),
    alert(2, HOSTILE, areas=[HOSTILE]),
    unplaced(alert(3, status="ended")),
]


@pytest.fixture
def output(tmp_path: Path) -> str:
    found = str(tmp_path / "out")
    changes = [change(row, "low", at(9)) for row in ALERTS] + [change(ALERTS[1], "high", at(12), 2)]
    areas = {name: shapely.box(-55.01, -6.01, -54.99, -5.99) for name in ("Jamanxim", HOSTILE)}
    write_alerts(found, ALERTS, changes, areas=areas)
    placed = [row for row in ALERTS if row["geometry"]]
    names = ("place_id", "geometry", "bbox", "latitude", "longitude")
    add_rows(found, PLACES, [{n: row[n] for n in names} | {"h3_resolution": 9} for row in placed])
    add_rows(found, VERDICTS, [verdict(ALERTS[0], "true")])
    return found


def export(output: str, ending: str, *flags: str) -> Path:
    to = Path(output).parent / f"file{ending}"
    assert exit_code(main, ["--output", output, "--to", str(to), *flags]) == 0
    return to


def frame_of(path: Path) -> geopandas.GeoDataFrame:
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return pyogrio.read_dataframe(path)


@pytest.mark.parametrize("what", ["alerts", "sites", "changes"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_opens_with_the_same_rows(output: str, ending: str, what: str) -> None:
    frame = frame_of(export(output, ending, "--what", what))
    assert len(frame) == {"alerts": 4, "sites": 4, "changes": 5}[what]
    key = "site_id" if what == "sites" else "alert_id"
    assert set(frame[key]) == {row["alert_id"] for row in ALERTS}
    if ending != ".csv":
        assert frame.crs.to_epsg() == 4326 or "CRS84" in str(frame.crs)
        assert frame.geometry.isna().sum() == 1
        first = frame[frame[key] == ALERTS[0]["alert_id"]].geometry.iloc[0]
        expected = shapely.from_wkb(ALERTS[0]["geometry"])
        assert first.symmetric_difference(expected).area < expected.area * 1e-3  # 10 cm


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("what", ["alerts", "sites", "changes"])
def test_no_rows_are_a_file_without_rows(output: str, ending: str, what: str) -> None:
    frame = frame_of(export(output, ending, "--since", "2026-07-20", "--what", what))
    assert len(frame) == 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_values_survive(output: str, ending: str) -> None:
    frame = frame_of(export(output, ending)).set_index("alert_id")
    row = frame.loc[ALERTS[0]["alert_id"]]
    assert float(row["area_ha"]) == 10.5
    assert int(row["positives"]) == 3
    assert row["checked"] == "true"
    assert list(row["areas"]) in (["Jamanxim", "Tapajós"], list("Jamanxim; Tapajós"))
    seen = datetime.fromisoformat(str(row["first_detected"]).replace("Z", "+00:00"))
    assert (seen if seen.tzinfo else seen.replace(tzinfo=UTC)) == at(2, 14)
    label = frame.loc[ALERTS[2]["alert_id"]]["label"]
    assert label == (f"'{HOSTILE}" if ending == ".csv" else HOSTILE)


def test_geoparquet_is_valid(output: str) -> None:
    add_rows(output, VERDICTS, [])
    path = export(output, ".parquet", "--area", "Jamanxim")
    checks = geoparquet_validator.check(str(path))
    assert geoparquet_validator.failed(checks) == []


def test_geojson_follows_its_standard(output: str) -> None:
    content = json.loads(export(output, ".geojson").read_text("utf-8"))
    rings = [f["geometry"]["coordinates"][0] for f in content["features"] if f["geometry"]]
    assert len(rings) == 3
    assert all(shapely.LinearRing(ring).is_ccw for ring in rings)
    assert "crs" not in content


def test_only_what_an_update_changed_since(output: str) -> None:
    assert len(frame_of(export(output, ".csv", "--since", "2026-07-11"))) == 1
    changes = frame_of(export(output, ".csv", "--since", "2026-07-11", "--what", "changes"))
    assert list(changes["to_status"]) == ["high"]


def test_only_what_touches_an_area(output: str) -> None:
    for what in ("alerts", "sites", "changes"):
        frame = frame_of(export(output, ".geojson", "--area", "Jamanxim", "--what", what))
        assert list(frame["label"]) == ["road"]


def test_a_csv_has_no_formulas_and_columns_to_fill_in(output: str) -> None:
    text = export(output, ".csv").read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    cells = [cell for row in rows for name, cell in row.items() if name not in _NUMBERS]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert [row["verdict"] for row in rows] == [""] * 4
    assert rows[0]["first_detected"] == "2026-07-02T14:00:00Z"


_NUMBERS = {"latitude", "longitude"}


def test_a_csv_that_officers_filled_in_is_recorded(
    output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = export(output, ".csv", "--what", "sites")
    rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))
    rows[1] |= {"verdict": "false", "who": "Rui", "when": "2026-07-12"}
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    assert exit_code(record_command, ["--output", output, "--file", str(path)]) == 0
    assert "1 verdict recorded, about 1 alert" in capsys.readouterr().out


def test_files_for_global_forest_watch_keep_its_limits(
    output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = str(tmp_path / "many")
    many_alerts(many, 2500, at(9))
    to = tmp_path / "gfw.geojson"
    assert exit_code(main, ["--output", many, "--to", str(to), "--for", "gfw"]) == 0
    said = capsys.readouterr().out.splitlines()
    paths = [Path(line) for line in said[1:]]
    assert [path.name for path in paths] == [f"gfw-{n}.geojson" for n in range(1, len(paths) + 1)]
    frames = [pyogrio.read_dataframe(path) for path in paths]
    assert sum(map(len, frames)) == 2500
    assert max(map(len, frames)) <= GFW_POLYGONS
    assert max(path.stat().st_size for path in paths) <= GFW_BYTES
    assert len(set().union(*(frame["alert_id"] for frame in frames))) == 2500


def test_a_shape_that_is_too_large_for_global_forest_watch_is_made_simpler(tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    circle = shapely.Point(-55, -6).buffer(0.5, quad_segs=20_000)
    row = alert(0, geometry=bytes(shapely.to_wkb(circle)))
    write_alerts(output, [row, alert(1)])
    to = tmp_path / "gfw.geojson"
    assert exit_code(main, ["--output", output, "--to", str(to), "--for", "gfw"]) == 0
    path = tmp_path / "gfw-1.geojson"
    assert path.stat().st_size <= GFW_BYTES
    assert pyogrio.read_dataframe(path).geometry.iloc[0].area == pytest.approx(
        circle.area, rel=0.01
    )


def test_alerts_without_a_position_are_said(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    export(output, ".geojson", "--for", "gfw")
    assert "1 of them have no position: left out" in capsys.readouterr().out


def test_a_file_can_be_written_to_an_object_store(output: str, object_store_uri: str) -> None:
    from pipelines.storage import store

    for ending in ENDINGS:
        to = f"{object_store_uri}/x/alerts{ending}"
        assert exit_code(main, ["--output", output, "--to", to]) == 0
        assert store.read_bytes(to, 10**7)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--to", "alerts.kml"], "must end in one of .geojson, .gpkg, .csv, .fgb, .parquet"),
        (["--to", "alerts.csv", "--for", "gfw"], "--for gfw writes .geojson files"),
        (["--area", "Jamanxin"], "did you mean 'Jamanxim'?"),
        (["--what", "places"], "--what"),
        (["--since", "soon"], "must be a date or a time"),
        (["--output", "/nowhere"], "run python -m beam_jobs.update_alerts first"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    flags: list[str], words: str, output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--output", output, "--to", str(tmp_path / "file.geojson"), *flags]
    assert exit_code(main, arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert list(tmp_path.glob("file*")) == []
