"""What is there, what is done, what is left: from an archive to a run's manifest.

Runs in the launcher, before any worker starts. DuckDB joins listing and tables, which it does
for ten million chips in seconds (docs/decisions/duckdb.md).
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipelines import delta_tables, storage
from pipelines.errors import StorageError, UsageError
from schemas.artifact import MediaType
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST, SCORE, QuarantineReason

EXTENSIONS: dict[MediaType, tuple[str, ...]] = {"jpg": (".jpg", ".jpeg"), "tif": (".tif", ".tiff")}
"""File name endings, in lower case, by which a listing's chips are told from other files."""

MANIFEST_ENDINGS = (".parquet", ".csv")
UNIT_CHIPS = 4096
"""Chips a unit: many batches, so that reading ahead pays; few enough to spread a night."""

CHIP_VERSIONS = pa.schema([("chip_uri", pa.string()), ("etag", pa.string())])
"""What tells one version of a chip from another."""

STAGING_FOLDER = "_staging"
_PLAN_FILE = "plan.json"
_HEAD_THREADS = 16
_UTC = "SET TimeZone = 'UTC'"


@dataclass(frozen=True)
class RunPlan:
    """All that a run was planned with; stored with its manifest and handed to the workers.

    Attributes:
        run_id, run_date: name of the run and the night it belongs to (YYYY-MM-DD).
        output: address of the tables.
        artifact: address of the model artifact.
        model_digest, thresholds_digest: what the artifact was when the run was planned.
        listed: chips found, each counted once.
        skipped: of these, chips that the model had done before.
        unit_rows: number of chips in each unit of the manifest.
        max_quarantine_ratio: share of the run's chips over which nothing is published.
        attempt: 1, or one more than the last of the same run of which any table knows.
        options: the options of the run, for its record.
        versions: package to version in the launcher.
        started_at, planned_at: seconds since 1970 (UTC).
        scores_version: version of the table `chip_scores` that was looked into for chips done
            before, -1 where there was none.
        token: tells this plan's manifest from that of another planner of the same run.
        kind: what the run does, one of `runs.kind`.
    """

    run_id: str
    run_date: str
    output: str
    artifact: str
    model_digest: str
    thresholds_digest: str
    listed: int
    skipped: int
    unit_rows: tuple[int, ...]
    max_quarantine_ratio: float
    attempt: int
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    started_at: float
    planned_at: float
    scores_version: int = -1
    token: str = ""
    kind: str = SCORE

    @property
    def to_score(self) -> int:
        """Chips in the manifest."""
        return sum(self.unit_rows)

    @property
    def staging(self) -> str:
        """Address below which the run's files wait for publication."""
        return staging_of(self.output, self.run_id, self.attempt)

    @property
    def rescore(self) -> bool:
        """Whether the run scores again, on purpose, what was scored before."""
        return bool(self.options.get("rescore"))

    @property
    def manifest(self) -> str:
        """Address of the run's manifest."""
        return storage.join_uri(self.staging, f"manifest{self.token}.parquet")

    def to_json(self) -> str:
        """One line of JSON; `from_json` is its inverse."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> RunPlan:
        """Read what `to_json` wrote."""
        data = json.loads(text)
        return cls(**{**data, "unit_rows": tuple(data["unit_rows"])})


def staging_of(output: str, run_id: str, attempt: int) -> str:
    """Address below which the files of an attempt at a run wait for publication."""
    return storage.join_uri(output, STAGING_FOLDER, f"{run_id}.{attempt}")


def list_chips(chips: str, media_type: MediaType | None) -> pa.Table:
    """The chips of an archive, in the CHIP_MANIFEST schema; a chip may stand in it twice.

    Args:
        chips: absolute address of a folder or prefix, a glob, or a manifest (.parquet, .csv).
        media_type: only chips of this media type, told by their file names; None for both.

    Raises:
        UsageError: nothing there, no image among it, or a manifest that is none.
    """
    endings = EXTENSIONS[media_type] if media_type else sum(EXTENSIONS.values(), ())
    if chips.lower().endswith(MANIFEST_ENDINGS):
        return _read_manifest(chips, endings if media_type else None)
    try:
        listing = pa.concat_tables([storage.LISTING.empty_table(), *storage.list_objects(chips)])
    except StorageError as error:
        raise UsageError(f"--chips: {error}") from error
    found = _keep_endings(listing, "uri", endings)
    if not found.num_rows:
        raise UsageError(
            f"--chips {chips!r} holds no image: {listing.num_rows} objects, "
            f"none ending in {', '.join(endings)}; check the address and --media_type"
        )
    return _as_manifest(found.rename_columns({"uri": "chip_uri"}))


def select_chips(chips: pa.Table, done: pa.Table) -> tuple[pa.Table, int]:
    """The chips to score, each once and in order of address, and how many chips there are.

    Args:
        chips: rows in the CHIP_MANIFEST schema.
        done: columns chip_uri and etag of what this model need not see again.
    """
    connection = duckdb.connect()
    connection.register("chips", chips)
    connection.register("done", done)
    connection.execute("CREATE TEMP TABLE once AS SELECT DISTINCT ON (chip_uri) * FROM chips")
    listed = connection.sql("SELECT count(*) FROM once").fetchall()[0][0]
    left = connection.sql(
        "SELECT * FROM once ANTI JOIN done USING (chip_uri, etag) ORDER BY chip_uri"
    )
    return left.to_arrow_table().cast(file_schema(CHIP_MANIFEST)), listed


def scores_version(output: str) -> int:
    """Version of the table `chip_scores`, -1 where there is none. Ask before `chips_done`: what
    is published in between is then looked for twice, not never."""
    scores = delta_tables.open_table(output, "chip_scores")
    return -1 if scores is None else scores.version()


def chips_done(output: str, model_digest: str, run_ids: Collection[str] | None = None) -> pa.Table:
    """chip_uri and etag of chips that this model has scored, or given up for a lasting reason,
    in published runs, or in some of them."""
    scored = delta_tables.open_table(output, "chip_scores")
    quarantine = delta_tables.open_table(output, "quarantine")
    parts = [CHIP_VERSIONS.empty_table()]
    of_model = ds.field("model_digest") == model_digest
    if scored is not None:
        parts.append(_pairs(scored, of_model, run_ids))
    if quarantine is not None:
        lasting = [reason.value for reason in QuarantineReason if reason.lasting]
        found = {partition["run_id"] for partition in quarantine.partitions()}
        asked = found if run_ids is None else found.intersection(run_ids)
        published = delta_tables.published_run_ids(scored, asked)
        given_up = of_model & ds.field("reason").isin(lasting)
        parts.append(_pairs(quarantine, given_up, published))
    return pa.concat_tables(parts)


def _pairs(
    table: DeltaTable, condition: ds.Expression, run_ids: Collection[str] | None = None
) -> pa.Table:
    rows = delta_tables.open_dataset(table, run_ids)
    return rows.to_table(columns=CHIP_VERSIONS.names, filter=condition).cast(CHIP_VERSIONS)


def store_plan(plan: RunPlan, manifest: pa.Table) -> RunPlan:
    """Write manifest and plan where the run stages its files; row group i is unit i.

    Returns:
        The plan that holds: where the same run was planned twice at once, that of the faster.
    """
    buffer = io.BytesIO()
    pq.write_table(manifest, buffer, row_group_size=UNIT_CHIPS, compression="zstd")
    storage.write_bytes(plan.manifest, buffer.getvalue())
    plan_uri = storage.join_uri(plan.staging, _PLAN_FILE)
    if storage.create_bytes(plan_uri, plan.to_json().encode()):
        return plan
    return RunPlan.from_json(storage.read_bytes(plan_uri))


def read_plan(output: str, run_id: str, attempt: int) -> RunPlan | None:
    """The plan that an attempt stored where it stages its files; None where it has none."""
    uri = storage.join_uri(staging_of(output, run_id, attempt), _PLAN_FILE)
    if storage.head_object(uri) is None:
        return None
    return RunPlan.from_json(storage.read_bytes(uri))


def unit_rows(chips: int) -> tuple[int, ...]:
    """Chips in each unit of a manifest of so many chips.

    >>> unit_rows(UNIT_CHIPS + 1)
    (4096, 1)
    """
    return tuple(min(UNIT_CHIPS, chips - start) for start in range(0, chips, UNIT_CHIPS))


def _keep_endings(table: pa.Table, column: str, endings: tuple[str, ...]) -> pa.Table:
    keep = [uri.lower().endswith(endings) for uri in table[column].to_pylist()]
    return table.filter(pa.array(keep, pa.bool_()))


def _read_manifest(uri: str, endings: tuple[str, ...] | None) -> pa.Table:
    table = _load_table(uri)
    if "chip_uri" not in table.column_names:
        raise UsageError(
            f"manifest {uri!r} has no column chip_uri (it has: {', '.join(table.column_names)})"
        )
    twice = sorted({n for n in _MANIFEST.names if table.column_names.count(n) > 1})
    if twice:
        raise UsageError(f"manifest {uri!r} has more than one column {', '.join(twice)}")
    manifest = _as_manifest(_with_absolute_uris(table, storage.parent_uri(uri)))
    if endings:
        manifest = _keep_endings(manifest, "chip_uri", endings)
    if not manifest.num_rows:
        raise UsageError(f"manifest {uri!r} names no chip")
    return _look_up_versions(manifest)


def _load_table(uri: str) -> pa.Table:
    try:
        data = storage.read_bytes(uri)
        if uri.lower().endswith(".parquet"):
            return pq.read_table(io.BytesIO(data))
        # Text as it stands: a scene "007" is not the number 7, and the casts come later.
        parsing = pa_csv.ParseOptions(newlines_in_values=True)
        header = pa_csv.open_csv(io.BytesIO(data), parse_options=parsing).schema.names
        return pa_csv.read_csv(
            io.BytesIO(data),
            parse_options=parsing,
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True
            ),
        )
    except StorageError as error:
        raise UsageError(f"--chips: {error}") from error
    except pa.ArrowException as error:
        raise UsageError(f"manifest {uri!r} cannot be read: {error}") from error


def _with_absolute_uris(table: pa.Table, folder: str) -> pa.Table:
    uris = table["chip_uri"].to_pylist()
    if not all(isinstance(uri, str) and uri for uri in uris):
        raise UsageError("the manifest's chip_uri must be text and may not be empty")
    absolute = pa.array([storage.absolute_uri(uri, folder) for uri in uris], pa.string())
    return table.set_column(table.schema.get_field_index("chip_uri"), "chip_uri", absolute)


def _as_manifest(table: pa.Table) -> pa.Table:
    """Cast known columns to the manifest's types, add the missing ones as null, drop the rest."""
    stems = pa.array([storage.file_stem(uri) for uri in table["chip_uri"].to_pylist()], pa.string())
    table = table.append_column(_STEM, stems)
    connection = duckdb.connect()
    connection.execute(_UTC)
    connection.register("given", table)
    columns = ", ".join(
        f'CAST({_source(name, table)} AS {_SQL_TYPES[str(field_type)]}) AS "{name}"'
        for name, field_type in zip(_MANIFEST.names, _MANIFEST.types, strict=True)
    )
    try:
        found = connection.sql(f"SELECT {columns} FROM given").to_arrow_table()
    except duckdb.Error as error:
        raise UsageError(f"a manifest column has unfit values: {_first_line(error)}") from error
    return found.cast(_MANIFEST)


def _source(name: str, given: pa.Table) -> str:
    """What stands in a column of the manifest, in SQL: a chip without an id has its file's stem."""
    value = f'"{name}"' if name in given.column_names else "NULL"
    return f'coalesce(CAST({value} AS VARCHAR), "{_STEM}")' if name == "chip_id" else value


_STEM = "stem of chip_uri"
_MANIFEST = file_schema(CHIP_MANIFEST)
_SQL_TYPES = {
    "string": "VARCHAR",
    "int64": "BIGINT",
    "double": "DOUBLE",
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
}


def _look_up_versions(manifest: pa.Table) -> pa.Table:
    """Ask the store for the etag of rows that have none; what is not there stays without."""
    has_etag = manifest["etag"].is_valid()
    known, unknown = manifest.filter(has_etag), manifest.filter(pc.invert(has_etag))
    etags = [storage.clean_etag(etag) for etag in known["etag"].to_pylist()]
    column = _MANIFEST.get_field_index("etag")
    known = known.set_column(column, _MANIFEST.field(column), pa.array(etags, pa.string()))
    rows = unknown.to_pylist()
    with ThreadPoolExecutor(_HEAD_THREADS) as pool:
        heads = list(pool.map(_head_or_none, [row["chip_uri"] for row in rows]))
    for row, head in zip(rows, heads, strict=True):
        if head:
            row.update({name: head[name] for name in ("etag", "size_bytes", "modified_at")})
    return pa.concat_tables([known, pa.Table.from_pylist(rows, _MANIFEST)])


def _head_or_none(uri: str) -> dict[str, Any] | None:
    """A chip that cannot be looked up is left to the reading, which quarantines what stays so."""
    try:
        return storage.head_object(uri)
    except StorageError:
        return None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
