import csv
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import simplejpeg

from train.sample.nights import COLUMNS, NIGHTS, pictures_of, write_nights
from train.sample_archive import main


def labels_on(day: int, label: str, places: int = 96) -> set[int]:
    return {p.place for p in pictures_of(day, places, 0) if label in p.labels}


def test_the_road_grows_and_the_river_stays() -> None:
    days = [day for night in NIGHTS for day in night]
    roads = [labels_on(day, "road") for day in days]
    assert roads[0] == set()
    assert set() < roads[1] < roads[2] == roads[3] == roads[4]
    assert len({frozenset(labels_on(day, "water")) for day in days}) == 1
    assert labels_on(9, "agriculture") == set() < labels_on(17, "agriculture")


def test_clouds_hide_other_places_each_day_and_none_on_the_first() -> None:
    hidden = [frozenset(labels_on(day, "cloudy")) for night in NIGHTS for day in night]
    assert hidden[0] == frozenset()
    assert len(set(hidden)) == 5
    assert all(5 < len(places) < 40 for places in hidden[1:])


def test_each_night_has_chips_and_a_sidecar_with_times_and_neighbouring_boxes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--output", str(tmp_path), "--chips", "24", "--nights"]) == 0
    assert capsys.readouterr().out.count("wrote ") == 3
    for number, days in enumerate(NIGHTS, 1):
        night = tmp_path / f"night-{number}"
        with (night / "sidecar.csv").open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        names = {path.stem for path in (night / "chips").glob("*.jpg")}
        assert {row["chip_id"] for row in rows} == names
        assert len(rows) == 24 * len(days)
        assert len({datetime.fromisoformat(row["observed_at"]) for row in rows}) == len(days)
        assert rows[0]["lon_max"] == rows[1]["lon_min"]
        assert rows[0]["lat_min"] == rows[COLUMNS]["lat_max"]


def grey(night: Path, place: int, day: str) -> npt.NDArray[np.float64]:
    path = night / "chips" / f"place_{place:03d}_2026-06-{day}.jpg"
    values: npt.NDArray[np.float64] = simplejpeg.decode_jpeg(path.read_bytes()).mean(2).ravel()
    return values


def test_the_ground_of_a_place_is_the_same_on_another_day(tmp_path: Path) -> None:
    nights = write_nights(tmp_path, 12)
    clear = [p.place for p in pictures_of(9, 12, 0) if p.labels == ("clear", "primary")]
    first, second = (grey(nights[n], clear[0], day) for n, day in ((0, "01"), (1, "10")))
    other = grey(nights[0], clear[1], "01")
    assert np.corrcoef(first, second)[0, 1] > 0.8
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.3


def test_nights_are_jpg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output", str(tmp_path), "--nights", "--media_type", "tif"]) == 2
    assert "--nights draws jpg chips" in capsys.readouterr().err
