"""The table of verdicts: what officers say about alerts."""

from schemas.table import Column, Table

RIGHT, WRONG, UNCLEAR = "true", "false", "unclear"
VERDICT_WORDS = (RIGHT, WRONG, UNCLEAR)
"""What `verdicts.verdict` may be."""

VERDICTS = Table(
    name="verdicts",
    description="What officers say about alerts, one row for each verdict and alert; a verdict "
    "about a site has a row for each alert that the site had. It counts for every alert of the "
    "same place and label whose time overlaps, whatever its alert_id is now.",
    version=1,
    columns=(
        Column(
            "verdict_id",
            "string",
            "UUID (version 5) of what was recorded: the alert or site, the verdict, who, when and "
            "the note.",
            required=True,
        ),
        Column("alert_id", "string", "The alert, as it was then.", required=True),
        Column("site_id", "string", "The site, if the verdict is about one; else null."),
        Column(
            "place_id",
            "string",
            "The H3 cell, or the address of the chip if it has no position.",
            required=True,
        ),
        Column("label", "string", "What the alert is about.", required=True),
        Column(
            "first_detected",
            "timestamp",
            "Where the time that it is about begins: the alert's first detection.",
            "UTC",
            required=True,
        ),
        Column(
            "until",
            "timestamp",
            "Where that time ends: the end of the alert; its last look or judged_at, whichever is "
            "later, if it had not ended.",
            "UTC",
            required=True,
        ),
        Column(
            "verdict",
            "string",
            f"{RIGHT}: it is there; {WRONG}: it is not; {UNCLEAR}: it could not be seen.",
            required=True,
        ),
        Column("who", "string", "Who judged."),
        Column("judged_at", "timestamp", "When.", "UTC", required=True),
        Column("note", "string", "What else they say."),
        Column("recorded_at", "timestamp", "When the row was written.", "UTC", required=True),
    ),
    external_name="verdicts",
)
