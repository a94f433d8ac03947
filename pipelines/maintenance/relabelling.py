"""New thresholds on stored scores: no picture is read and no model is run.

A relabelling copies rows and changes two columns, `labels` and `thresholds_digest`; it keeps all
others, also those that only another release knows. A copy keeps its night, its model and the time
of its scoring, so it has the rank of its source: the views rank scores by the run that made them,
and only then labels by their publication.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipelines.artifacts.threshold_files import Thresholds
from pipelines.errors import RunFailed, StorageError
from pipelines.runs import committing, staging
from pipelines.runs.run_plan import RunPlan
from pipelines.scoring.labelling import name_labels
from pipelines.storage import store
from pipelines.tables import delta_tables
from pipelines.tables.parquet_files import open_writer, write_arranged
from schemas.decisions import choose_labels
from schemas.render import label_columns
from schemas.tables import CHIP_SCORES

_BATCH_ROWS = 65_536
_BLOCK_ROWS = 100_000  # that are brought into map order together


def labels_of(scores: DeltaTable) -> tuple[str, ...]:
    """The labels whose scores a table has, in its order."""
    return tuple(label_columns(pa.schema(scores.schema().to_arrow())))


def labels_without_threshold(
    scores: DeltaTable, model_digest: str, thresholds: Thresholds
) -> list[str]:
    """The labels that a model has scores of, and that have no threshold.

    Raises:
        StorageError: the table cannot be read.
    """
    columns = label_columns(pa.schema(scores.schema().to_arrow()))
    left = {label: name for label, name in columns.items() if label not in thresholds.by_label}
    found: list[str] = []
    if left:  # a column of nulls is searched to its end
        rows = delta_tables.open_dataset(scores)
        mine = ds.field("model_digest") == model_digest
        for batch in rows.to_batches(columns=[*left.values()], filter=mine):
            seen = [label for label in left if batch[left[label]].null_count < batch.num_rows]
            found += seen
            left = {label: name for label, name in left.items() if label not in seen}
            if not left:
                break
    return found


def stage_relabelled(plan: RunPlan, thresholds: Thresholds) -> None:
    """Stage the units of a planned relabelling that are not staged yet.

    Raises:
        RunFailed: a source file is gone.
        StorageError: staging cannot be read or written.
    """
    columns = delta_tables.file_columns(committing.require_table(plan, CHIP_SCORES.name))
    with store.open_file(plan.manifest) as file:
        manifest = pq.read_table(file, page_checksum_verification=True)
    for unit in sorted(
        set(range(len(plan.unit_rows))).difference(staging.staged_numbers(plan.staging))
    ):
        sources = manifest.filter(pc.field("unit") == unit)
        data = relabel_files(plan, sources, thresholds, columns)
        night = sources["run_date"][0].as_py()
        staging.stage_scores(unit, data, plan.unit_rows[unit], night, plan.staging)


def relabel_files(
    plan: RunPlan, sources: pa.Table, thresholds: Thresholds, columns: pa.Schema
) -> bytes:
    """Rows of some published files with new labels, as one Parquet file.

    Args:
        sources: rows of the manifest, see `relabel_planning.MANIFEST`.
        columns: of the table's files; what a source file lacks is null.

    Raises:
        RunFailed: a file is gone, because its rows were compacted and it was deleted.
    """
    kept: Mapping[str, str] = plan.options.get("changed_digests", {})
    buffer = io.BytesIO()
    with open_writer(buffer, columns) as writer:
        for block in _blocks(_source_rows(plan, sources, columns)):
            write_arranged(writer, relabel_rows(block, thresholds, kept))
    return buffer.getvalue()


def _source_rows(plan: RunPlan, sources: pa.Table, schema: pa.Schema) -> Iterator[pa.Table]:
    for path, rows in zip(sources["path"].to_pylist(), sources["rows"], strict=True):
        uri = store.join_uri(plan.output, CHIP_SCORES.name, path)
        try:
            yield from read_rows(uri, rows.values.to_numpy(), schema)
        except StorageError as error:
            raise RunFailed(
                f"run {plan.run_id}: {error}; delete {plan.staging} and start it again"
            ) from error


def _blocks(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of at least `_BLOCK_ROWS`, but for the last one."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(part.num_rows for part in held) >= _BLOCK_ROWS:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def relabel_rows(
    rows: pa.Table, thresholds: Thresholds, kept: Mapping[str, str] | None = None
) -> pa.Table:
    """Rows of `chip_scores`, with the labels of their scores by these thresholds; a label whose
    score is null, because the model does not have it, is not chosen.

    Args:
        kept: from each `thresholds_digest` of the rows to the new one, if labels without a
            threshold are kept as they are; empty if there are none.
    """
    label_set = thresholds.label_set
    scores = np.column_stack([rows[name].to_numpy() for name in label_set.score_columns])
    known = ~np.isnan(scores)
    comparable = np.where(known, scores, -1)
    chosen = known & choose_labels(comparable, thresholds.values, label_set, thresholds.sky_rule)
    if kept:
        new = _with_kept(rows, chosen, label_set.names, kept)
    else:
        digests = pa.repeat(pa.scalar(thresholds.digest), rows.num_rows)
        new = {"labels": name_labels(chosen, label_set.names), "thresholds_digest": digests}
    return pa.table([new.get(n, rows[n]) for n in rows.column_names], schema=rows.schema)


def _with_kept(
    rows: pa.Table, chosen: npt.NDArray[np.bool_], changed: Sequence[str], kept: Mapping[str, str]
) -> dict[str, pa.Array]:
    """The new columns of rows of which only the labels `changed` are chosen again."""
    names = [*label_columns(rows.schema)]
    labels = rows["labels"].combine_chunks()
    held = np.zeros((rows.num_rows, len(names)), np.bool_)
    numbers = pc.index_in(labels.flatten(), pa.array(names, pa.string()))
    held[pc.list_parent_indices(labels).to_numpy(), numbers.to_numpy()] = True
    held[:, [names.index(name) for name in changed]] = chosen
    before = rows["thresholds_digest"].combine_chunks().dictionary_encode()
    after = pa.array([kept[digest] for digest in before.dictionary.to_pylist()], pa.string())
    return {"labels": name_labels(held, names), "thresholds_digest": after.take(before.indices)}


def read_rows(uri: str, rows: npt.NDArray[np.int64], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of a file at ascending positions, a batch at a time. Columns that a file of an
    earlier release lacks are null."""
    with store.open_file(uri) as file:
        start = 0
        parquet = pq.ParquetFile(file, page_checksum_verification=True)
        names = [name for name in schema.names if name in parquet.schema_arrow.names]
        for batch in parquet.iter_batches(_BATCH_ROWS, columns=names):
            first, last = np.searchsorted(rows, [start, start + batch.num_rows])
            if last > first:
                yield delta_tables.with_columns(batch.take(rows[first:last] - start), schema)
            start += batch.num_rows
