from pathlib import Path

import pytest

from pipelines.alerts import published
from pipelines.alerts.published import check_area, open_alerts
from pipelines.alerts.state import AlertOptions, State, with_state
from pipelines.alerts.writing import write
from pipelines.errors import RunFailed, UsageError
from pipelines.tables.evolution import ensure_table
from schemas.alert_tables import ALERT_TABLES, ALERTS, SITES
from schemas.render import arrow_schema
from tests.support.alert_rows import update, write_alerts
from tests.support.published_runs import at


def write_updates(output: str, alerts: int, sites: int) -> None:
    """Tables of which each was written by the update with that number."""
    for table in ALERT_TABLES:
        ensure_table(output, table)
    for table, number in ((ALERTS, alerts), (SITES, sites)):
        state = State(
            AlertOptions(), (), None, None, update=update(number, at(9)) | {"baseline": None}
        )
        rows = with_state(arrow_schema(table).empty_table(), state)
        write(output, table, ensure_table(output, table), rows, replace=True)


def test_alerts_and_sites_are_of_the_same_update(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(published, "_WAIT_S", 0.01)
    output = str(tmp_path)
    write_updates(output, alerts=2, sites=3)
    with (
        pytest.raises(RunFailed, match="an update of the alerts is not finished"),
        open_alerts(output),
    ):
        pass
    write_updates(output, alerts=3, sites=3)
    with open_alerts(output) as connection:
        assert connection.sql("SELECT count(*) FROM sites").fetchall() == [(0,)]


def test_an_unknown_area_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    import shapely

    names = ["Jamanxim", "Tapajós"]
    write_alerts(str(tmp_path), [], areas={name: shapely.box(0, 0, 1, 1) for name in names})
    with open_alerts(str(tmp_path)) as connection:
        check_area(connection, None)
        check_area(connection, "Tapajós")
        with pytest.raises(UsageError, match="one of the 2 areas; did you mean 'Jamanxim'"):
            check_area(connection, "jamanxin")
        with pytest.raises(UsageError, match="they are 'Jamanxim', 'Tapajós'"):
            check_area(connection, "zzz")
