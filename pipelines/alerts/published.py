"""The published tables of alerts, as a DuckDB connection sees them."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb

from pipelines import databases
from pipelines.alerts.state import read_state
from pipelines.errors import RunFailed, StorageError, UsageError
from pipelines.tables import delta_tables, views
from pipelines.tables.delta_tables import one_line
from pipelines.wording import nearest
from schemas.alert_tables import ALERT_AREAS, ALERT_TABLES, ALERTS, SITES

NEVER_REPORTED = """
SELECT DISTINCT label FROM models SEMI JOIN (
  SELECT model_digest, thresholds_digest FROM runs WHERE status = 'published'
  ORDER BY commit_version DESC NULLS LAST, published_at DESC NULLS LAST, run_id DESC LIMIT 1
) AS newest USING (model_digest, thresholds_digest)
WHERE threshold IS NULL ORDER BY label
"""
"""The labels that chips of the newest published run cannot have, because the threshold is null."""

_READ = "newest_verdicts chip_scores runs models places " + " ".join(t.name for t in ALERT_TABLES)
_SHOWN = 8
_TRIES, _WAIT_S = 5, 1.0


@contextmanager
def open_alerts(output: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with all tables and views of an OUTPUT; of the tables that `update_alerts` does
    not make, only `verdicts`, `chip_scores`, `runs`, `models` and `places` have rows.

    Raises:
        UsageError: there is no table `alerts`.
        RunFailed: an update of the alerts has died, and was not repeated.
        StorageError: a table cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="alerts-") as scratch:
        connection = databases.connect(temp_directory=scratch)
        try:
            relations = _relations(output)
            views.register(connection, relations, views.labels_of(relations))
            yield connection
        except duckdb.Error as error:
            raise StorageError(f"cannot read the alerts: {one_line(error)}") from error
        finally:
            connection.close()


def check_area(connection: duckdb.DuckDBPyConnection, area: str | None) -> None:
    """Refuse the name of an area that no alert could have.

    Raises:
        UsageError: there is no such area; the nearest name, or some, are in the message.
    """
    if area is None:
        return
    found = connection.sql(f"SELECT DISTINCT name FROM {ALERT_AREAS.name} ORDER BY name").fetchall()
    names = [name for (name,) in found]
    if area in names:
        return
    if not names:
        raise UsageError(f"--area {area!r}: no areas are known; give update_alerts --areas FILE")
    near = nearest(area, names)
    some = ", ".join(map(repr, names[:_SHOWN])) + (" ..." if len(names) > _SHOWN else "")
    raise UsageError(
        f"--area {area!r} is not one of the {len(names):,} areas; "
        + (f"did you mean {near!r}?" if near else f"they are {some}")
    )


def _relations(output: str) -> Mapping[str, Any]:
    """The tables, `alerts` and `sites` as the same update wrote them."""
    for number in range(_TRIES):
        time.sleep(_WAIT_S if number else 0)
        before = _snapshots(output)
        relations = views.read_tables(output, _READ)
        if before == _snapshots(output) and len({update for _, update in before}) == 1:
            return relations
    raise RunFailed(
        "an update of the alerts is not finished: run python -m beam_jobs.update_alerts again"
    )


def _snapshots(output: str) -> list[tuple[int, int]]:
    """The version of `alerts` and of `sites`, each with the number of the update that wrote it."""
    tables = [delta_tables.open_table(output, table.name) for table in (ALERTS, SITES)]
    if None in tables:
        raise UsageError(
            f"--output {output!r} has no alerts: if the address is right, run "
            "python -m beam_jobs.update_alerts first"
        )
    found = [(table, read_state(table)) for table in tables if table is not None]
    return [(t.version(), s.update["update_number"] if s else 0) for t, s in found]
