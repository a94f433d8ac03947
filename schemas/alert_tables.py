"""The tables of alerts: what `update_alerts` makes of the looks at each place.

They are not partitioned, and not part of any run. `alerts`, `sites` and `alert_areas` are replaced
as a whole; the others only grow.
"""

from dataclasses import replace

from schemas.chip_columns import BBOX, GEOMETRY
from schemas.table import Column, Table

LOW, HIGH, DROPPED, ENDED = "low", "high", "dropped", "ended"
STATUSES = (LOW, HIGH, DROPPED, ENDED)
"""What `alerts.status` may be."""

RETRACTED = "retracted"
"""`alert_changes.to_status` of an alert that is no longer found."""

_ALERT_ID = Column(
    "alert_id",
    "string",
    "UUID (version 5) of the place, the label and the time of the first detection.",
    required=True,
)
_PLACE_ID = Column(
    "place_id",
    "string",
    "The H3 cell, or the address of the chip if it has no position.",
    required=True,
)
_LABEL = Column("label", "string", "What was seen.", required=True)
_STATUS = Column(
    "status",
    "string",
    f"{LOW}: seen, not confirmed; {HIGH}: seen again in two of the next four looks; {DROPPED}: "
    f"not confirmed in four looks or 180 days; {ENDED}: was {HIGH}, then not seen in three looks "
    "in a row.",
    required=True,
)
_FIRST_DETECTED = Column(
    "first_detected", "timestamp", "The first look that showed it.", "UTC", required=True
)
_LAST_SEEN = Column("last_seen", "timestamp", "The last look that showed it.", "UTC", required=True)
_MAX_SCORE = Column(
    "max_score",
    "float32",
    "The highest score of the looks that showed it.",
    "probability in [0, 1]",
    required=True,
)
_PROVEN = Column(
    "proven",
    "bool",
    "Whether the label is proven for the model of after_uri (table models); null if not known.",
)
_BEFORE = Column(
    "before_uri", "string", "The clearest picture of the last look before that did not show it."
)
_AFTER = Column(
    "after_uri",
    "string",
    "The clearest picture of the first detection that shows it.",
    required=True,
)
_AREAS = Column("areas", "list<string>", "Names of the areas that it touches, by name.")
_CENTRE = tuple(
    Column(
        name, "float64", "Of the centre of its (first) cell; null without a position.", "degrees"
    )
    for name in ("latitude", "longitude")
)
_CELL = replace(
    GEOMETRY,
    description="Outline of the cell (WGS 84, longitude first): a polygon, counter-clockwise; a "
    "multipolygon if it is cut at the 180th meridian; null without a position.",
)
_CELLS = replace(
    GEOMETRY,
    description="Outline of the cells together (WGS 84, longitude first): polygon or multipolygon, "
    "counter-clockwise, cut at the 180th meridian; null without a position.",
)
_AREA = replace(
    GEOMETRY,
    description="The area (WGS 84, longitude first): polygon or multipolygon, counter-clockwise, "
    "cut at the 180th meridian.",
    required=True,
)
_UPDATED_AT = Column(
    "updated_at", "timestamp", "The update that last changed the row.", "UTC", required=True
)

ALERTS = Table(
    name="alerts",
    description="Where a label appeared on ground that was clear before, one row per alert, as of "
    "the last update.",
    version=1,
    columns=(
        _ALERT_ID,
        Column("site_id", "string", f"The site that it belongs to; null if it is {DROPPED}."),
        _PLACE_ID,
        _LABEL,
        _STATUS,
        Column(
            "confidence",
            "int64",
            "As in Global Forest Watch: 3 (high) if it was confirmed, else 2 (nominal).",
            "2 or 3",
            required=True,
        ),
        _FIRST_DETECTED,
        Column(
            "previous_clear",
            "timestamp",
            "The last look before the first detection that did not show it.",
            "UTC",
            required=True,
        ),
        Column("confirmed_at", "timestamp", f"The look that made it {HIGH}; else null.", "UTC"),
        _LAST_SEEN,
        Column(
            "last_looked",
            "timestamp",
            f"The last look while it was {LOW} or {HIGH}, whatever it showed.",
            "UTC",
            required=True,
        ),
        Column(
            "dropped_at",
            "timestamp",
            f"The fourth look, or the end of the 180 days, if it is {DROPPED}.",
            "UTC",
        ),
        Column(
            "ended_at",
            "timestamp",
            f"The third look in a row that did not show it, if it is {ENDED}.",
            "UTC",
        ),
        Column(
            "looks",
            "int64",
            f"Looks while it was {LOW} or {HIGH}, the first detection included.",
            "days with a look",
            required=True,
        ),
        Column(
            "positives", "int64", "Those of them that showed it.", "days with a look", required=True
        ),
        Column(
            "cloudy_looks",
            "int64",
            "Pictures of the place since the first detection in which cloud hid the ground.",
            "pictures",
            required=True,
        ),
        _MAX_SCORE,
        _PROVEN,
        _BEFORE,
        _AFTER,
        _AREAS,
        Column("area_ha", "float64", "Area of the cell; null without a position.", "hectares"),
        *_CENTRE,
        _CELL,
        BBOX,
        Column("model_digest", "string", "The model that scored after_uri.", required=True),
        Column("thresholds_digest", "string", "What chose the labels of after_uri.", required=True),
        _UPDATED_AT,
    ),
    external_name="alerts",
)

SITES = Table(
    name="sites",
    description=f"Neighbouring alerts of one label that are {LOW}, {HIGH} or {ENDED}, one row per "
    "group of neighbours.",
    version=1,
    columns=(
        Column(
            "site_id",
            "string",
            "alert_id of its earliest alert; when sites grow together, the older id stays.",
            required=True,
        ),
        _LABEL,
        Column(
            "status",
            "string",
            f"{HIGH} if one of its alerts is; else {LOW} if one is; else {ENDED}.",
            required=True,
        ),
        _FIRST_DETECTED,
        _LAST_SEEN,
        Column("alerts", "int64", "Its alerts.", "alerts", required=True),
        Column("cells", "int64", "Its places.", "places", required=True),
        Column(
            "area_ha",
            "float64",
            "Area of its cells, each counted once; null without a position.",
            "hectares",
        ),
        Column(
            "positives",
            "int64",
            "The most positive looks that one of its alerts has.",
            "days with a look",
            required=True,
        ),
        _MAX_SCORE,
        _PROVEN,
        _BEFORE,
        _AFTER,
        Column(
            "pictures",
            "list<string>",
            "after_uri of its alerts, each address once, in the order of detection.",
        ),
        _AREAS,
        *_CENTRE,
        _CELLS,
        BBOX,
        _UPDATED_AT,
    ),
    external_name="sites",
)

ALERT_CHANGES = Table(
    name="alert_changes",
    description="Every change of an alert's status, in the order in which updates published them.",
    version=1,
    columns=(
        _ALERT_ID,
        Column(
            "step", "int64", "Its place among the changes of this alert.", "from 1", required=True
        ),
        _PLACE_ID,
        _LABEL,
        Column("from_status", "string", "Status before; null for a new alert."),
        Column(
            "to_status",
            "string",
            f"Status after; {RETRACTED} if the alert is no longer found, because of a late "
            "picture, a withdrawn run, new thresholds or other options.",
            required=True,
        ),
        Column(
            "changed_at",
            "timestamp",
            "The look that changed it, or the end of the 180 days; the first detection if it is "
            f"{RETRACTED}.",
            "UTC",
            required=True,
        ),
        Column("published_at", "timestamp", "When the update ran.", "UTC", required=True),
        Column("as_of", "timestamp", "The time as of which it looked.", "UTC", required=True),
    ),
    external_name="alert_changes",
)

ALERT_AREAS = Table(
    name="alert_areas",
    description="The areas that alerts and sites name, such as parks, territories and districts.",
    version=1,
    columns=(
        Column("name", "string", "The area's name.", required=True),
        _AREA,
        replace(BBOX, required=True),
    ),
    external_name="alert_areas",
)

ALERT_UPDATES = Table(
    name="alert_updates",
    description="The updates of the alerts that found something new, one row each.",
    version=1,
    columns=(
        Column("update_number", "int64", "Its place among the updates.", "from 1", required=True),
        Column("published_at", "timestamp", "When the update ran.", "UTC", required=True),
        Column("as_of", "timestamp", "The time as of which it looked.", "UTC", required=True),
        Column("labels", "list<string>", "The labels that alerts are about.", required=True),
        Column("baseline", "date", "The last day of the baseline; null without one.", "UTC date"),
        Column(
            "h3_resolution", "int64", "Resolution of the cells; null without positions.", "0 to 15"
        ),
        Column("areas", "int64", "Areas that are known.", "areas", required=True),
        Column("looks", "int64", "Looks that it read.", "looks", required=True),
        Column("changes", "int64", "Changes since the update before.", "changes", required=True),
        *(
            Column(status, "int64", f"Alerts that are {status}.", "alerts", required=True)
            for status in STATUSES
        ),
        Column("sites", "int64", "Sites.", "sites", required=True),
    ),
    external_name="alert_updates",
)

ALERT_TABLES = (ALERTS, SITES, ALERT_CHANGES, ALERT_AREAS, ALERT_UPDATES)
"""The tables that `update_alerts` writes."""
