"""Export alerts, sites or changes to a file for maps and spreadsheets.

The end of the file's name decides the format: .geojson, .gpkg (GeoPackage), .fgb (FlatGeobuf),
.parquet (GeoParquet) or .csv. The csv has empty columns for verdicts: fill them in, and give the
file to `record_verdicts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pyarrow as pa

from beam_jobs.options.moments import start_of
from beam_jobs.options.reader_options import ReaderOptions
from beam_jobs.options.store_options import OUTPUT, address
from pipelines.alerts.published import check_area, open_alerts
from pipelines.commands import CommandLine, run_command
from pipelines.errors import UsageError
from pipelines.exports import FORMATS, File, What, as_gfw, select_rows
from pipelines.flags import common_flag, flag
from pipelines.storage import store
from pipelines.wording import count_of


@dataclass(frozen=True, kw_only=True)
class ExportOptions(ReaderOptions):
    """The options of the command."""

    output: str = OUTPUT()
    to: str = flag(
        "The file to write, local or remote; its name ends in .geojson, .gpkg, .fgb, .parquet or "
        ".csv.",
        address,
        metavar="FILE",
    )
    what: What = common_flag("What to export.", default="alerts")
    since: datetime | None = common_flag(
        "Only rows that an update changed or published from this day (UTC) or time on.",
        start_of,
        metavar="DATE",
        default=None,
    )
    area: str | None = common_flag(
        "Only what touches the area with this name (update_alerts --areas).",
        metavar="NAME",
        default=None,
    )
    target: Literal["gfw"] | None = common_flag(
        "Keep the limits of Global Forest Watch (1 MB, 1,000 polygons): FILE.geojson becomes "
        "FILE-1.geojson, FILE-2.geojson ...",
        name="for",
        default=None,
    )


LINE = CommandLine(
    "beam_jobs.export_alerts",
    ExportOptions,
    __doc__ or "",
    epilog="""examples:
  python -m beam_jobs.export_alerts --output out --to alerts.gpkg
  python -m beam_jobs.export_alerts --output out --to field.csv --what sites --area Jamanxim
  python -m beam_jobs.export_alerts --output out --to gfw.geojson --what sites --for gfw
""",
)


def main(arguments: Sequence[str]) -> int:
    """Export one kind of rows, and print the addresses of the files; returns the exit code.

    Raises:
        UsageError: there are no alerts yet, or no such area or format; a library is missing.
        StorageError: the tables cannot be read, or the file cannot be written.
    """
    options = LINE.parse(arguments)
    store.configure(options.stores)
    name, ending = _split(options)
    rows = options.reading(options.output, lambda: _rows(options))
    files = as_gfw(rows) if options.target == "gfw" else [File("", FORMATS[ending](rows))]
    print(count_of(rows.num_rows, options.what.removesuffix("s")))
    without = rows["geometry"].null_count
    if without and ending == ".csv":
        print(f"{without:,} of them without a position")
    elif without:
        done = "left out" if options.target == "gfw" else "without a geometry"
        print(f"{without:,} of them have no position: {done}")
    for file in files:
        uri = f"{name}{file.suffix}{options.to[len(name) :]}"
        store.write_bytes(uri, file.content)
        print(uri)
    return 0


def _rows(options: ExportOptions) -> pa.Table:
    with open_alerts(options.output) as connection:
        check_area(connection, options.area)
        return select_rows(connection, options.what, options.since, options.area)


def _split(options: ExportOptions) -> tuple[str, str]:
    """The address without the end that names the format, and that end in small letters."""
    ending = next((end for end in FORMATS if options.to.lower().endswith(end)), "")
    if not ending:
        raise UsageError(
            f"--to {options.to!r}: the file's name must end in one of {', '.join(FORMATS)}"
        )
    if options.target == "gfw" and ending != ".geojson":
        raise UsageError(f"--to {options.to!r}: --for gfw writes .geojson files")
    return options.to[: -len(ending)], ending


if __name__ == "__main__":
    run_command(main)
