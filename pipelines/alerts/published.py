"""The published tables of alerts, as a DuckDB connection sees them."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from pipelines.errors import StorageError, UsageError
from pipelines.tables import delta_tables, views
from pipelines.tables.delta_tables import one_line
from pipelines.wording import nearest
from schemas.alert_tables import ALERT_AREAS, ALERT_TABLES, ALERTS
from schemas.render import arrow_schema
from schemas.verdict_table import NEWEST_VERDICTS, VERDICTS

_SHOWN = 8


@contextmanager
def open_alerts(output: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the tables of alerts, `verdicts`, `newest_verdicts`, `chip_scores`, `runs`
    and `models`; those that do not exist are empty.

    Raises:
        UsageError: there is no table `alerts`.
        StorageError: a table cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="alerts-") as scratch:
        connection = duckdb.connect(":memory:", config={"temp_directory": scratch})
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET python_enable_replacements = false")
            for name, rows in _relations(output):
                connection.register(name, rows)
            connection.execute(f"CREATE VIEW newest_verdicts AS {NEWEST_VERDICTS}")
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


def _relations(output: str) -> Iterator[tuple[str, Any]]:
    yield from views.read_tables(output, "chip_scores, runs, models").items()
    for table in (*ALERT_TABLES, VERDICTS):
        found = delta_tables.open_table(output, table.name)
        if found is None and table is ALERTS:
            raise UsageError(
                f"--output {output!r} has no alerts: run python -m beam_jobs.update_alerts first"
            )
        schema = arrow_schema(table)
        yield (
            table.name,
            schema.empty_table() if found is None else delta_tables.open_dataset(found),
        )
