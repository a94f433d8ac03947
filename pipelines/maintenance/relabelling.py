"""New thresholds on stored scores: no picture is read and no model is run.

A relabelling copies rows and changes two columns, `labels` and `thresholds_digest`. A copy keeps
its night, its model and the time of its scoring, so it has the rank of its source: the views rank
scores by the run that made them, and only then labels by their publication.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipelines.errors import RunFailed, StorageError
from pipelines.maintenance.threshold_files import Thresholds
from pipelines.runs import staging
from pipelines.runs.run_plan import RunPlan
from pipelines.scoring.labelling import name_labels
from pipelines.storage import store
from pipelines.tables.parquet_files import COMPRESSION
from schemas.decisions import choose_labels
from schemas.render import file_schema
from schemas.tables import chip_scores

_BATCH_ROWS = 65_536


def labels_of(scores: DeltaTable) -> tuple[str, ...]:
    """The labels whose scores a table has, in its order."""
    fields = pa.schema(scores.schema().to_arrow())
    labels = ((field.metadata or {}).get(b"label", b"").decode() for field in fields)
    return tuple(label for label in labels if label)


def stage_relabelled(plan: RunPlan, thresholds: Thresholds) -> None:
    """Stage the units of a planned relabelling that are not staged yet.

    Raises:
        RunFailed: a source file is gone.
        StorageError: staging cannot be read or written.
    """
    with store.open_file(plan.manifest) as file:
        manifest = pq.read_table(file)
    for unit in sorted(
        set(range(len(plan.unit_rows))).difference(staging.staged_numbers(plan.staging))
    ):
        sources = manifest.filter(pc.field("unit") == unit)
        data = relabel_files(plan, sources, thresholds)
        night = sources["run_date"][0].as_py()
        staging.stage_scores(unit, data, plan.unit_rows[unit], night, plan.staging)


def relabel_files(plan: RunPlan, sources: pa.Table, thresholds: Thresholds) -> bytes:
    """Rows of some published files with new labels, as one Parquet file.

    Args:
        sources: rows of the manifest, see `relabel_planning.MANIFEST`.

    Raises:
        RunFailed: a file is gone, because its rows were compacted and it was deleted.
    """
    schema = file_schema(chip_scores(thresholds.label_set))
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, schema, **COMPRESSION) as writer:
        for path, rows in zip(sources["path"].to_pylist(), sources["rows"], strict=True):
            uri = store.join_uri(plan.output, "chip_scores", path)
            try:
                for table in _read_rows(uri, rows.values.to_numpy(), schema):
                    writer.write_table(relabel_rows(table, thresholds))
            except StorageError as error:
                raise RunFailed(
                    f"run {plan.run_id}: {error}; delete {plan.staging} and start it again"
                ) from error
    return buffer.getvalue()


def relabel_rows(rows: pa.Table, thresholds: Thresholds) -> pa.Table:
    """Rows of `chip_scores`, with the labels of their scores by these thresholds."""
    label_set = thresholds.label_set
    scores = np.column_stack([rows[name].to_numpy() for name in label_set.score_columns])
    chosen = choose_labels(scores, thresholds.values, label_set, thresholds.sky_rule)
    digests = pa.repeat(pa.scalar(thresholds.digest), rows.num_rows)
    new = {"labels": name_labels(chosen, label_set.names), "thresholds_digest": digests}
    return pa.table([new.get(n, rows[n]) for n in rows.column_names], schema=rows.schema)


def _read_rows(uri: str, rows: npt.NDArray[np.int64], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of a file at ascending positions, a batch at a time."""
    with store.open_file(uri) as file:
        start = 0
        for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS, columns=schema.names):
            first, last = np.searchsorted(rows, [start, start + batch.num_rows])
            if last > first:
                chosen = pa.Table.from_batches([batch]).take(rows[first:last] - start)
                yield chosen.select(schema.names).cast(schema)
            start += batch.num_rows
