"""Draws the same places on three nights: a river, a road that grows from the east, then fields, and
clouds between.

A night is what a scoring run gets: pictures of one or several days, and a sidecar that says when
and where each was taken. On the first night there is neither road nor field. The second has one
day, with the first half of the road; the third has three, with the whole road, and with fields.
Clouds hide another part of the places on each day but the first.

    python -m train.sample_archive --output build/nights --chips 96 --nights
"""

import csv
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from train.sample.drawing import draw_chip
from train.sample.encoding import encode_jpg, to_rgb

NIGHTS = ((0,), (9,), (17, 18, 20))
"""For each night, the days on which its pictures were taken, counted from the first."""

FIRST_DAY = date(2026, 6, 1)
COLUMNS = 12
"""Places from west to east."""

_WEST, _NORTH = -55.30, -6.40  # degrees: at the river Jamanxim
_SIDE = 0.0069  # degrees, some 765 m
_ROAD_FROM_DAY, _FIELDS_FROM_DAY = 9, 17
_CLOUDY, _PARTLY = 0.18, 0.25  # shares of the places
_SIDECAR = ("chip_id", "observed_at", "lon_min", "lat_min", "lon_max", "lat_max")
_GROUND_STREAM, _SKY_STREAM = 10, 11


class Picture(NamedTuple):
    """A picture of a place on a day."""

    place: int
    day: int
    labels: tuple[str, ...]

    @property
    def chip_id(self) -> str:
        """Place and day."""
        return f"place_{self.place:03d}_{FIRST_DAY + timedelta(days=self.day)}"


def write_nights(folder: Path, places: int, seed: int = 0) -> list[Path]:
    """Write `night-1`, `night-2` and `night-3` into a folder, each with `chips` and `sidecar.csv`;
    returns their addresses.

    Args:
        places: places in each picture, in rows of `COLUMNS` from north to south.

    Raises:
        OSError: the folder is not writable.
    """
    nights = []
    for number, days in enumerate(NIGHTS, 1):
        night = folder / f"night-{number}"
        (night / "chips").mkdir(parents=True, exist_ok=True)
        pictures = [picture for day in days for picture in pictures_of(day, places, seed)]
        for picture in pictures:
            (night / "chips" / f"{picture.chip_id}.jpg").write_bytes(_draw(picture, seed))
        with (night / "sidecar.csv").open("w", newline="", encoding="utf-8") as lines:
            writer = csv.writer(lines, lineterminator="\n")
            writer.writerow(_SIDECAR)
            writer.writerows(map(_sidecar_row, pictures))
        nights.append(night)
    return nights


def pictures_of(day: int, places: int, seed: int) -> Iterator[Picture]:
    """The pictures of a day, each with its labels: one of the sky, and those of the ground."""
    chance = np.random.default_rng([seed, day]).random(places)
    for place in range(places):
        sky = "clear"
        if day and chance[place] < _CLOUDY + _PARTLY:
            sky = "cloudy" if chance[place] < _CLOUDY else "partly_cloudy"
        yield Picture(place, day, (sky, *_ground(place, day, places)))


def _ground(place: int, day: int, places: int) -> Iterator[str]:
    row, column = divmod(place, COLUMNS)
    yield "primary"
    if column == _river_column(row):
        yield "water"
    middle = -(-places // COLUMNS) // 2
    days = day - _ROAD_FROM_DAY
    reached = COLUMNS if days < 0 else COLUMNS // 2 + 1 if days == 0 else _river_column(row) + 1
    if row == middle and column >= reached:
        yield "road"
    if day >= _FIELDS_FROM_DAY and row == middle - 2 and column in (8, 9, 10):
        yield "agriculture"


def _river_column(row: int) -> int:
    return 2 + row % 4 // 2


def _draw(picture: Picture, seed: int) -> bytes:
    """The ground of a place is the same on all days; light and clouds are not."""
    ground = np.random.default_rng([seed, picture.place, _GROUND_STREAM])
    sky = np.random.default_rng([seed, picture.place, picture.day, _SKY_STREAM])
    return encode_jpg(to_rgb(draw_chip(picture.labels, ground, sky)))


def _sidecar_row(picture: Picture) -> tuple[str, ...]:
    row, column = divmod(picture.place, COLUMNS)
    taken = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, 14) + timedelta(picture.day)
    west, north = _WEST + column * _SIDE, _NORTH - row * _SIDE
    edges = (west, north - _SIDE, west + _SIDE, north)
    return picture.chip_id, f"{taken.isoformat()}Z", *(f"{edge:.6f}" for edge in edges)
