"""Looks at some places: which pictures show which of them, and what they show.

What `PictureReader` finds becomes the view `looks`, with the pictures that are hidden by cloud next
to it. All times are in microseconds since 1970, all days since 1970, both in UTC.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipelines.alerts.pictures import PictureReader
from pipelines.alerts.rule import Ints


@dataclass(frozen=True)
class Counted:
    """What was read for some places.

    Attributes:
        looks: pictures that show one of the places, counted once for each place.
        undated: those without a time of their own: seen_at is when they were written or scored.
        future: pictures whose time is after their first scoring; they are no looks.
        later_runs: runs that have pictures after `as_of`.
    """

    looks: int
    undated: int
    future: int
    later_runs: frozenset[str]


class LookReader(PictureReader):
    """Looks in a snapshot of an OUTPUT's tables."""

    def read(self, places: pa.Array, as_of_us: int) -> Counted:
        """Read the looks at some places, for the methods below.

        Args:
            places: string [n]; a place is known by its position in this array from then on.
        """
        numbers = pa.array(range(len(places)), pa.int32())
        self._connection.register("asked_rows", pa.table({"n": numbers, "place_id": places}))
        self._make("asked", "FROM asked_rows")
        self._make(
            "footprints", "SELECT DISTINCT footprint FROM chip_places JOIN asked USING (place_id)"
        )
        self._read_pictures(
            """SELECT DISTINCT chip_uri FROM all_scores
            WHERE geometry IN (SELECT footprint FROM footprints)
            UNION SELECT place_id FROM asked""",
            self.labels,
        )
        self._make(
            "shown",
            f"""SELECT n, p FROM pictures JOIN pairs USING (foot) JOIN asked USING (place_id)
            WHERE NOT future AND us <= {as_of_us}
            UNION ALL
            SELECT n, p FROM pictures JOIN asked ON place_id = chip_uri
            WHERE NOT future AND us <= {as_of_us} AND alone""",
        )
        looks, undated = self._one(
            "SELECT count(*), count(*) FILTER (undated) FROM shown JOIN pictures USING (p) "
            "WHERE observed"
        )
        (future,) = self._one("SELECT count(*) FROM pictures WHERE future AND observed")
        later = self._connection.sql(
            f"""SELECT DISTINCT run_id FROM chip_scores AS c JOIN pictures AS late
            ON late.chip_uri = c.chip_uri AND late.etag IS NOT DISTINCT FROM c.etag
            WHERE us > {as_of_us}"""
        ).fetchall()
        return Counted(looks, undated, future, frozenset(run_id for (run_id,) in later))

    def histories(self, label: str) -> pa.Table:
        """What was seen of a label: one row per place and day, by place and day, only of places
        where it was seen at all.

        Columns: n (place), day (since 1970), positive, score, us (microseconds since 1970).
        """
        i = self.labels.index(label)
        return self._connection.sql(
            f"""WITH those AS (
              SELECT n, p FROM shown WHERE n IN
                (SELECT n FROM shown JOIN pictures USING (p) WHERE observed AND has_{i})
            )
            SELECT n, day, bool_or(has_{i}) AS positive, max(score_{i}) AS score,
              coalesce(min(us) FILTER (has_{i}), min(us)) AS us
            FROM those JOIN pictures USING (p)
            WHERE observed AND score_{i} IS NOT NULL
            GROUP BY n, day ORDER BY n, day"""
        ).to_arrow_table()

    def details(self, label: str, alerts: pa.Table) -> pa.Table:
        """The pictures of alerts, one row each, in their order.

        Args:
            alerts: columns a (0, 1, ...), n (place), first_day, previous_day (since 1970),
                first_us (microseconds since 1970).

        Returns:
            Columns before_uri, after_uri, model_digest and thresholds_digest (of the latter),
            cloudy_looks.
        """
        i = self.labels.index(label)
        self._connection.register("found_rows", alerts)
        self._make("found", "SELECT * FROM found_rows")
        for name, day, wanted in (
            ("before", "previous_day", f"score_{i} IS NOT NULL"),
            ("after", "first_day", f"has_{i}"),
        ):
            self._make(
                name,
                f"""SELECT a, p FROM found JOIN shown USING (n) JOIN pictures USING (p)
                WHERE day = {day} AND observed AND {wanted}
                QUALIFY row_number() OVER (PARTITION BY a ORDER BY
                  sky, sky_score DESC NULLS LAST, us, chip_uri, etag NULLS FIRST) = 1""",
            )
        self._make(
            "cloudy",
            """SELECT a, count(*) AS cloudy_looks
            FROM found JOIN shown USING (n) JOIN pictures USING (p)
            WHERE NOT observed AND us >= first_us GROUP BY a""",
        )
        return self._connection.sql(
            """SELECT b.chip_uri AS before_uri, c.chip_uri AS after_uri, c.model_digest,
              c.thresholds_digest, coalesce(cloudy_looks, 0) AS cloudy_looks
            FROM found
            LEFT JOIN before USING (a) LEFT JOIN pictures AS b ON b.p = before.p
            LEFT JOIN after USING (a) LEFT JOIN pictures AS c ON c.p = after.p
            LEFT JOIN cloudy USING (a)
            ORDER BY a"""
        ).to_arrow_table()

    def ground(self, places: Ints) -> pa.Table:
        """Where places are: columns latitude, longitude, geometry, bbox; null without a position.

        Args:
            places: int64 [k], positions in the array that `read` was called with.
        """
        self._connection.register("wanted", pa.table({"i": np.arange(len(places)), "n": places}))
        return self._connection.sql(
            """SELECT latitude, longitude, geometry, bbox
            FROM wanted JOIN asked USING (n) LEFT JOIN (
              FROM places WHERE place_id IN (SELECT place_id FROM wanted JOIN asked USING (n))
            ) USING (place_id)
            ORDER BY i"""
        ).to_arrow_table()
