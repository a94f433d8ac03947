"""Which window of which scene a chip is: columns of a run's manifest."""

from __future__ import annotations

from schemas.table import Column

SCENE_BANDS = Column(
    "scene_bands",
    "string",
    "JSON: which bands of the scene the model takes, with scales and offsets, if a STAC item says.",
)

SCENE_COLUMNS = (
    Column("scene_uri", "string", "Address of the scene that the chip is a window of, if any."),
    Column("x_px", "int64", "First column of the window; null if the scene is rejected.", "pixels"),
    Column("y_px", "int64", "First row of the window.", "pixels"),
    Column("width_px", "int64", "Columns of the window.", "pixels"),
    Column("height_px", "int64", "Rows of the window.", "pixels"),
    Column("header_uri", "string", "Where the scene's header is stored, if it is."),
    SCENE_BANDS,
)
"""The window of a scene; null for chips that are files or in tars."""

WINDOW_NAMES = ("x_px", "y_px", "width_px", "height_px")
"""The columns of the window itself."""

SCENE_NAMES = tuple(column.name for column in SCENE_COLUMNS)
"""Names of these columns."""
