"""Pictures of some addresses, read from the published scores by DuckDB: one row each, with its
newest scores.

Only rows of these pictures are taken from `chip_scores`, but all of them, so that the view
`observations` finds the newest row of each picture as it does among all rows.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa

from pipelines.alerts.rule import NEVER_US
from pipelines.alerts.source import register
from pipelines.alerts.state import runs_of
from pipelines.errors import UsageError
from pipelines.tables import delta_tables
from pipelines.tables.evolution import ensure_table
from pipelines.tables.views import VIEWS, published_runs
from schemas.label_sql import duckdb_text, for_labels
from schemas.place_tables import CHIP_PLACES, PLACES
from schemas.render import label_columns
from schemas.tables import CHIP_SCORES, RUNS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_CANDIDATES = 1000
_COLUMNS = (
    *("chip_uri", "etag", "observed_at", "observed_at_source", "modified_at", "scored_at"),
    *("lon_min", "lat_min", "lon_max", "lat_max", "sky_label"),
    *("model_digest", "thresholds_digest", "run_date", "run_id"),
)
_CLEAREST = ("clear", "partly_cloudy", "haze")
"""Sky labels, the clearest first; all others come last."""


class PictureReader:
    """DuckDB over a snapshot of an OUTPUT's tables.

    Attributes:
        labels: those that alerts are about.
        runs: see `state.runs_of`.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, output: str, labels: Sequence[str]
    ) -> None:
        """
        Args:
            connection: see `source.open_connection`.
            labels: those that alerts are about; none for the threats of the OUTPUT.

        Raises:
            UsageError: no label is known as a threat.
            StorageError: a table cannot be read.
        """
        self._connection = connection
        runs = published_runs(output)
        scores, pairs, places = (
            ensure_table(output, table) for table in (CHIP_SCORES, CHIP_PLACES, PLACES)
        )
        self._score_columns = label_columns(delta_tables.open_dataset(scores, []).schema)
        connection.register(RUNS.name, runs)
        register(connection, scores, "all_scores")
        register(connection, pairs, CHIP_PLACES.name)
        register(connection, places, PLACES.name)
        self.runs = runs_of(scores, pairs, runs)
        self.labels = tuple(labels) or self._threats()

    def ask_all_places(self) -> None:
        """Make the table `places_asked` of all places."""
        self._make(
            "places_asked",
            """SELECT DISTINCT place_id FROM chip_places WHERE place_id IS NOT NULL
            UNION SELECT DISTINCT chip_uri FROM all_scores
            LEFT JOIN chip_places ON footprint = geometry WHERE place_id IS NULL""",
        )

    def ask_places_of_runs(self, run_ids: Sequence[str]) -> int | None:
        """Make the table `places_asked` of the places that pictures in these runs show, or did.

        Returns:
            The time of the newest look in these pictures, in microseconds since 1970; None without
            looks.
        """
        names = ", ".join(map(duckdb_text, run_ids)) or "''"
        self._read_pictures(f"SELECT DISTINCT chip_uri FROM all_scores WHERE run_id IN ({names})")
        self._make(
            "places_asked",
            """SELECT DISTINCT coalesce(place_id, chip_uri) AS place_id
            FROM chip_scores LEFT JOIN pairs USING (foot)""",
        )
        return self._newest()

    def places_asked(self) -> pa.Array:
        """The places, sorted, so that neighbours are near each other: string [n]."""
        found = self._connection.sql("SELECT place_id FROM places_asked ORDER BY place_id")
        return found.to_arrow_table()["place_id"].combine_chunks()

    def newest_look_us(self) -> int | None:
        """The time of the newest look of all, in microseconds since 1970; None without looks.

        A look is not after the latest time in the newest row of its picture, so the rows with the
        latest times are tried first.
        """
        tried = _FIRST_CANDIDATES
        while True:
            self._make(
                "candidates",
                f"""SELECT chip_uri, coalesce(observed_at, modified_at, scored_at) AS latest
                FROM all_scores WHERE sky_label IS DISTINCT FROM 'cloudy'
                ORDER BY latest DESC LIMIT {tried}""",
            )
            count, least = self._one("SELECT count(*), epoch_us(min(latest)) FROM candidates")
            self._read_pictures("SELECT DISTINCT chip_uri FROM candidates")
            newest = self._newest()
            if count < tried or (newest is not None and newest >= least):
                return newest
            tried *= 20

    def _newest(self) -> int | None:
        (newest,) = self._one(
            "SELECT max(us) FROM pictures WHERE observed AND NOT future AND placed"
        )
        return newest

    def _read_pictures(self, uris: str, labels: Sequence[str] = ()) -> None:
        """Make the table `pictures`, of all pictures with these addresses, and what it is made of.

        Args:
            uris: a SELECT of `chip_uri`.
            labels: those whose scores and sky are wanted; none: only times and places are.
        """
        skies = [sky for sky in _CLEAREST if sky in self._score_columns]
        of_scores = [self._score_columns[label] for label in dict.fromkeys([*labels, *skies])]
        names = (*_COLUMNS, "labels", *of_scores) if labels else _COLUMNS
        columns = ", ".join(f'"{name}"' for name in names)
        self._make("uris", uris)
        self._make(
            "rows_of_uris",
            f"""SELECT {columns}, geometry FROM all_scores
            WHERE chip_uri IN (SELECT chip_uri FROM uris)""",
        )
        self._make(
            "feet",
            """SELECT row_number() OVER () AS foot, geometry FROM
            (SELECT DISTINCT geometry FROM rows_of_uris WHERE geometry IS NOT NULL)""",
        )
        self._make(
            "pairs", "SELECT foot, place_id FROM feet JOIN chip_places ON footprint = geometry"
        )
        self._make(
            "chip_scores",
            f"""SELECT {columns}, foot, NULL::BLOB AS geometry, NULL AS bbox
            FROM rows_of_uris LEFT JOIN feet USING (geometry)""",
        )
        self._make("pictures", self._pictures_sql(labels, skies))

    def _pictures_sql(self, labels: Sequence[str], skies: Sequence[str]) -> str:
        of_labels = [
            f"""list_contains(labels, {duckdb_text(label)}) AS has_{i},
            {self._score_columns[label]} AS score_{i},"""
            for i, label in enumerate(labels)
        ]
        if labels:
            ranks = " ".join(f"WHEN '{name}' THEN {n}" for n, name in enumerate(_CLEAREST))
            scores = " ".join(f"WHEN '{sky}' THEN {self._score_columns[sky]}" for sky in skies)
            rank = f"CASE sky_label {ranks} ELSE {len(_CLEAREST)} END AS sky,"
            score = f"CASE sky_label {scores} END AS sky_score," if skies else "NULL AS sky_score,"
            of_labels += [rank, score]
        view = for_labels(VIEWS["observations"], self._score_columns, duckdb_text)
        return f"""WITH observations AS ({view}),
            placed AS (SELECT foot, count(place_id) = 0 AS alone FROM pairs GROUP BY foot)
            SELECT row_number() OVER () AS p, chip_uri, etag, foot, model_digest,
              thresholds_digest, epoch_us(seen_at) AS us,
              CAST(seen_at AS DATE) - DATE '1970-01-01' AS day, observed,
              seen_at > first_scored_at AS future,
              seen_at_source NOT IN ('given', 'tif_tags') AS undated,
              {" ".join(of_labels)}
              lon_min IS NULL OR placed.foot IS NOT NULL AS placed,
              coalesce(alone, lon_min IS NULL) AS alone
            FROM observations LEFT JOIN placed USING (foot)"""

    def _threats(self) -> tuple[str, ...]:
        view = for_labels(VIEWS["threats"], self._score_columns, duckdb_text)
        found = tuple(label for (label,) in self._connection.sql(view).fetchall())
        if not found:
            raise UsageError("none of the labels of this OUTPUT is known as a threat")
        return found

    def _make(self, name: str, select: str) -> None:
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {select}")

    def _one(self, select: str) -> tuple[int, ...]:
        (row,) = self._connection.sql(select).fetchall()
        return tuple(row)


def epoch_us(time: datetime | None) -> int:
    """Microseconds since 1970; before all looks if there is no time."""
    return NEVER_US if time is None else (time - _EPOCH) // timedelta(microseconds=1)


def moment(us: int | None) -> datetime | None:
    """The reverse of `epoch_us`."""
    return None if us is None else _EPOCH + timedelta(microseconds=us)
