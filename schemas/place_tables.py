"""The tables of places: which H3 cells the footprints of chips cover.

They are not partitioned, and not part of any run: `update_places` makes them from `chip_scores`,
each row once.
"""

from dataclasses import replace

from schemas.chip_columns import BBOX, GEOMETRY
from schemas.table import Column, Table

_PLACE = "An H3 cell, by its name"

PLACES = Table(
    name="places",
    description="The places that chips show, one row each: H3 cells.",
    version=1,
    columns=(
        Column("place_id", "string", f"{_PLACE}, such as 8928308280fffff.", required=True),
        replace(
            GEOMETRY,
            description="Outline of the cell (WGS 84, longitude first): a polygon, "
            "counter-clockwise; a multipolygon if it is cut at the 180th meridian.",
            required=True,
        ),
        replace(BBOX, required=True),
        Column("latitude", "float64", "Of the cell's centre (WGS 84).", "degrees", required=True),
        Column("longitude", "float64", "Of the cell's centre (WGS 84).", "degrees", required=True),
        Column("h3_resolution", "int64", "The same in all rows.", "level, 0 to 15", required=True),
    ),
    external_name="places",
)

CHIP_PLACES = Table(
    name="chip_places",
    description="The places of each footprint of a chip, one row per footprint and place: the "
    "cells whose centre is in the footprint; if there is none, the cell of its own centre.",
    version=1,
    columns=(
        Column(
            "footprint", "wkb", "geometry of chip_scores, byte by byte.", "degrees", required=True
        ),
        Column(
            "place_id",
            "string",
            f"{_PLACE}; null if the footprint has too many cells: its chips are places of their "
            "own.",
        ),
    ),
    external_name="chip_places",
)
