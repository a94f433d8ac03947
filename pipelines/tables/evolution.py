"""Tables are created, and gain in place the columns that they lack.

A nullable column or a label that a table lacks is added to its log, in one commit; files that do
not have it are read as nulls. Columns that this release or this artifact does not know are left
alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from deltalake import CommitProperties, DeltaTable, Field, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError

from pipelines.errors import StorageError, UsageError
from pipelines.storage.retries import with_retries
from pipelines.storage.store import absolute_uri, delta_options, join_uri
from pipelines.tables import commits
from pipelines.tables.commits import commit_in_turn, translate_commit_errors
from pipelines.tables.delta_tables import open_table, table_error, with_missing
from schemas.render import delta_schema
from schemas.table import Table

_PROPERTIES = {
    "delta.checkpointInterval": "10",
    "delta.enableExpiredLogCleanup": "false",
}
"""Of new tables. Opening a table reads the commits since the last checkpoint; delta-rs' default is
100. Publishers delete no entries of the log, which others may be reading: `maintain` does."""

_SHOWN = 4  # labels or columns in a message
_VERSION = "another version wrote it (CHANGELOG.md)"
_NO_FILES = [("run_id", "=", "")]


def ensure_table(output: str, table: Table) -> DeltaTable:
    """Open a table with at least these columns: it is created if it is missing, and columns that
    it lacks are added. Several processes may do so at once.

    Raises:
        UsageError: it cannot have these columns, see `check_table`; or the bucket does not exist.
        RunFailed: every commit met with a conflict.
        StorageError: it can be neither opened nor written.
    """

    def ensure() -> DeltaTable:
        found = open_table(output, table.name)
        if found is None:
            _create(output, table)
            found = open_table(output, table.name)
        if found is None:
            raise StorageError(f"created {join_uri(output, table.name)!r}, but it does not exist")
        add_columns(found, table)
        return found

    return commit_in_turn(ensure, f"add columns to {table.name}")


def check_table(output: str, table: Table) -> bool:
    """Refuse a table that exists and cannot have these columns; nothing is written.

    Returns:
        Whether it has them already.

    Raises:
        UsageError: a column has another type, a required one is missing or unknown, or none of
            the labels is one of the table's; or the bucket does not exist.
        StorageError: it cannot be opened.
    """
    found = open_table(output, table.name)
    return found is not None and _evolved(found, table) == found.schema().fields


def add_columns(found: DeltaTable, table: Table) -> None:
    """Add the columns that a table lacks, in one commit, and update `found`; without such columns
    nothing is written.

    Raises:
        UsageError: it cannot have them.
        PublishConflict: another commit was made since the snapshot.
        StorageError: the log cannot be written.
    """
    fields = _evolved(found, table)
    if fields == found.schema().fields:
        return
    properties = CommitProperties(
        custom_metadata={"maintained": "columns"},
        app_transactions=[Transaction(*commits.next_turn(found))],
    )
    with translate_commit_errors("add columns to", found, retries=True):
        if not table.partition_by:  # an overwrite would remove all rows
            known = {field.name for field in found.schema().fields}
            new = [field for field in fields if field.name not in known]
            found.alter.add_columns(new, commit_properties=properties)
            return
        found.create_write_transaction(
            [],
            mode="overwrite",  # appending would leave the columns as they are
            partition_filters=_NO_FILES,
            schema=Schema(fields),
            partition_by=list(table.partition_by),
            commit_properties=properties,
        )
        found.update_incremental()


def _evolved(found: DeltaTable, table: Table) -> list[Field]:
    """The table's columns, together with those that it lacks.

    Raises:
        UsageError: they do not fit together; says why.
    """
    theirs, ours = found.schema().fields, Schema.from_arrow(delta_schema(table)).fields
    if why := _type_misfit(theirs, ours) or _label_misfit(theirs, ours):
        raise UsageError(f"{absolute_uri(found.table_uri)!r} {why}: use another OUTPUT")
    nullable = {field.name for field in ours if field.nullable}
    relaxed = [
        Field(f.name, f.type, True, f.metadata) if f.name in nullable or _label(f) else f
        for f in theirs
    ]
    return with_missing(relaxed, ours)


def _type_misfit(theirs: Sequence[Field], ours: Sequence[Field]) -> str:
    """Why the types of the columns do not fit together; "" if they do."""
    there, here = {f.name: f for f in theirs}, {f.name: f for f in ours}
    if changed := [n for n in here if n in there and there[n].type != here[n].type]:
        types = [f"{n} ({there[n].type.type} there, {here[n].type.type} here)" for n in changed]
        return f"has columns of other types: {_some(types)}; {_VERSION}"
    if lacking := [n for n in here if n not in there and not here[n].nullable]:
        return f"lacks required columns: {_some(lacking)}; {_VERSION}"
    unknown = [n for n in there if n not in here and not _label(there[n])]
    if needed := [n for n in unknown if not there[n].nullable]:
        return f"requires columns that are unknown here: {_some(needed)}; {_VERSION}"
    return ""


def _label_misfit(theirs: Sequence[Field], ours: Sequence[Field]) -> str:
    """Why the labels do not fit together; "" if they do."""
    columns = {field.name.lower(): field for field in theirs}
    for field in ours:
        other = columns.get(field.name.lower(), field)
        if (other.name, _label(other)) != (field.name, _label(field)):
            return (
                f"has scores of the label {_label(other)!r} in the column {other.name}, in which "
                f"those of {_label(field)!r} would be"
            )
    had, asked = ([_label(f) for f in fields if _label(f)] for fields in (theirs, ours))
    if had and asked and not set(had).intersection(asked):
        return f"has columns for {_some(had)}, and the artifact has other labels: {_some(asked)}"
    return ""


def _label(field: Field) -> str:
    return str(field.metadata.get("label", ""))


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join([*names[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])


def _create(output: str, table: Table) -> None:
    uri = join_uri(output, table.name)
    try:
        with_retries(lambda: _create_at(uri, table))
    except CommitFailedError:
        pass  # another process was faster: the table exists
    except (DeltaError, OSError) as error:
        raise table_error("create", uri, error) from error


def _create_at(uri: str, table: Table) -> None:
    DeltaTable.create(
        uri,
        schema=delta_schema(table),
        mode="ignore",
        partition_by=list(table.partition_by),
        name=table.name,
        description=table.description,
        configuration=_PROPERTIES,
        storage_options=delta_options(uri),
        # A retry would create the table a second time, and replace the columns of the first.
        commit_properties=CommitProperties(max_commit_retries=0),
    )
