"""What is known about a chip, and where it is on Earth: columns of every table of chips."""

from schemas.table import Column

BOUNDS = ("lon_min", "lat_min", "lon_max", "lat_max")
"""The bounding box columns, west, south, east, north."""

_EDGES = ("Western", "Southern", "Eastern", "Northern")

BOUNDS_COLUMNS = tuple(
    Column(name, "float64", f"{edge} edge of the chip (WGS 84), if known.", "degrees")
    for name, edge in zip(BOUNDS, _EDGES, strict=True)
)
"""The bounding box; west is greater than east if it crosses the 180th meridian."""

GEOMETRY = Column(
    "geometry",
    "wkb",
    "Footprint of the chip (WGS 84, longitude first), if known: a polygon, counter-clockwise; a "
    "multipolygon if it is cut at the 180th meridian.",
    "degrees",
)

BBOX = Column(
    "bbox",
    "bbox",
    "Bounding box of geometry; null without one. xmin is greater than xmax if it crosses the 180th "
    "meridian.",
    "degrees",
)
"""What GeoParquet's readers skip row groups by."""

NO_DATA_SHARE = Column(
    "no_data_share",
    "float64",
    "Share of the pixels that are no data; null if the chip is not a window of a scene.",
    "ratio in [0, 1]",
)

_NAMES = (
    Column("chip_uri", "string", "Absolute address of the chip's object.", required=True),
    Column("chip_id", "string", "File stem of the chip.", required=True),
    Column("scene_id", "string", "Scene that the chip was cut from, if known."),
    Column("observed_at", "timestamp", "When the satellite took the picture, if known.", "UTC"),
)
_LISTED = (
    Column("etag", "string", "The store's version tag of the object when it was listed."),
    Column("size_bytes", "int64", "Size of the object when it was listed.", "bytes"),
)

CHIP_COLUMNS = (*_NAMES, *BOUNDS_COLUMNS, GEOMETRY, *_LISTED)
"""What is known about a chip before it is scored."""

CHIP_NAMES = tuple(column.name for column in CHIP_COLUMNS)
"""Names of these columns."""

PLACED_CHIP_COLUMNS = (*_NAMES, *BOUNDS_COLUMNS, GEOMETRY, BBOX, *_LISTED)
"""The same in the Delta tables of chips: `bbox` is made when rows are staged."""
