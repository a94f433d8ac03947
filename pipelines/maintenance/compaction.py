"""Rewrite the small files of a night's run as large ones, and old files with footprints.

A night of a run is rewritten as a whole, in map order, and committed in its turn among the
publishers. Rows, and what is published, do not change. Files that were written for a night that
another commit has replaced meanwhile are dead; `clean_up` deletes them.
"""

import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from deltalake import DeltaTable

from pipelines.errors import StorageError
from pipelines.maintenance import rewriting
from pipelines.tables import commits, delta_tables, evolution, live_files, publications
from pipelines.tables.commits import commit_in_turn
from pipelines.tables.live_files import PublishedFile
from pipelines.tables.parquet_files import FILES_NAME
from schemas.chip_columns import GEOMETRY
from schemas.tables import CHIP_SCORES, RUNS, TABLES_BY_NAME


class Night(NamedTuple):
    """A night's rows of a run."""

    run_date: str
    run_id: str


@dataclass(frozen=True)
class Compaction:
    """What compacting a table did, or would do.

    Attributes:
        runs: runs that had several small files.
        files_before, files_after: files of these runs.
        rewritten: other files, which were rewritten to give their rows footprints.
    """

    runs: int = 0
    files_before: int = 0
    files_after: int = 0
    rewritten: int = 0


@dataclass(frozen=True)
class _Work:
    """The files of the nights to rewrite.

    Attributes:
        small: nights with several small files.
        old: other nights, with files of an earlier release.
    """

    small: dict[Night, list[PublishedFile]] = field(default_factory=dict)
    old: dict[Night, list[PublishedFile]] = field(default_factory=dict)


def compact(
    output: str,
    name: str,
    preview: bool,
    leaving: Collection[str] = frozenset(),
    placed: Collection[str] | None = None,
) -> Compaction:
    """Rewrite each night of a run that has several small files or files without footprints, one
    commit for each.

    Runs that are not in all tables are skipped.

    Args:
        leaving: paths of files to ignore, which a real run (not a preview) would have removed.
        placed: `runs_with_footprints`, if it is known.

    Raises:
        RunFailed: every commit met with a conflict.
        StorageError: the table cannot be read or written.
    """

    def look() -> tuple[DeltaTable | None, _Work]:
        table = delta_tables.open_table(output, name)
        with commits.conflict_if_replaced(output, {name: table}):
            return table, _find_work(output, table, name, leaving, placed) if table else _Work()

    table, work = commit_in_turn(look, f"compact {name}")
    if table is None or not (work.small or work.old):
        return Compaction()
    if preview:
        made = {night: rewriting.files_after(files) for night, files in work.small.items()}
        return _summary(work, made, [*work.old])
    known = TABLES_BY_NAME[name]
    if GEOMETRY.name in known.column_names:
        table = evolution.ensure_table(output, known)
    made, rewritten = {}, []
    for night, files in (work.small | work.old).items():
        count = _rewrite(output, name, table, night, files)
        if count and night in work.small:
            made[night] = count
        elif count:
            rewritten.append(night)
    return _summary(work, made, rewritten)


def _summary(work: _Work, made: dict[Night, int], rewritten: list[Night]) -> Compaction:
    return Compaction(
        runs=len({night.run_id for night in made}),
        files_before=sum(len(work.small[night]) for night in made),
        files_after=sum(made.values()),
        rewritten=sum(len(work.old[night]) for night in rewritten),
    )


def runs_with_footprints(output: str) -> set[str]:
    """The runs of releases that write footprints, by their rows.

    Raises:
        StorageError: the rows cannot be read.
    """

    def read() -> set[str]:
        runs = delta_tables.open_table(output, RUNS.name)
        if runs is None:
            return set()
        with commits.conflict_if_replaced(output, {RUNS.name: runs}):
            rows = delta_tables.open_dataset(runs).to_table(columns=["run_id", "versions"])
        return {
            row["run_id"] for row in rows.to_pylist() if FILES_NAME in json.loads(row["versions"])
        }

    return commit_in_turn(read, "read runs")


def _find_work(
    output: str,
    table: DeltaTable,
    name: str,
    leaving: Collection[str],
    placed: Collection[str] | None,
) -> _Work:
    scores = delta_tables.open_table(output, CHIP_SCORES.name)
    if scores is None:
        return _Work()
    nights: defaultdict[Night, list[PublishedFile]] = defaultdict(list)
    for file in live_files.data_files(table):
        if file.path not in leaving:
            nights[_night_of(file)].append(file)
    small = {night for night, files in nights.items() if rewriting.are_small(files)}
    left: set[Night] = set()
    if GEOMETRY.name in TABLES_BY_NAME[name].column_names:
        known = runs_with_footprints(output) if placed is None else placed
        left = {night for night in nights if night.run_id not in known} - small
    settled = _settled(output, table, scores, {night.run_id for night in small | left})
    files = chain(*(nights[night] for night in left if night.run_id in settled))
    old = {*map(_night_of, rewriting.without_footprints(table, [*files]))}
    return _Work(
        {night: nights[night] for night in sorted(small) if night.run_id in settled},
        {night: nights[night] for night in sorted(old)},
    )


def _night_of(file: PublishedFile) -> Night:
    return Night(file.run_date, file.run_id)


def _files_of(table: DeltaTable, night: Night) -> set[PublishedFile]:
    return {file for file in live_files.data_files(table) if _night_of(file) == night}


def _settled(
    output: str, table: DeltaTable, scores: DeltaTable, run_ids: Collection[str]
) -> set[str]:
    """Those of some runs that are in all tables, and have no damaged file in this one."""
    runs = delta_tables.open_table(output, RUNS.name) if run_ids else None
    damaged = {file.run_id for file in live_files.left_out(table)}
    if runs is None:
        return set()
    return {run for run in run_ids if _is_settled(run, table, scores, runs)} - damaged


def _is_settled(run_id: str, table: DeltaTable, scores: DeltaTable, runs: DeltaTable) -> bool:
    """Whether no attempt at a run is between its commits to `quarantine` and to `runs`. Until then
    the names and times of the files are needed: they show the attempt and its commit."""
    attempt = publications.attempts_of(scores, run_id)
    ahead = publications.attempts_of(table, run_id) > attempt
    return not ahead and publications.attempts_of(runs, run_id) >= attempt > 0


def _rewrite(
    output: str, name: str, table: DeltaTable, night: Night, files: list[PublishedFile]
) -> int:
    """Rewrite a night's files; returns the number of new ones, 0 if others have changed the night
    meanwhile."""

    def is_changed(found: DeltaTable | None) -> bool:
        return found is None or set(files) != _files_of(found, night)

    if is_changed(table):
        return 0
    try:
        new = rewriting.write_night(table, files)
    except (StorageError, *delta_tables.UNREADABLE):
        if is_changed(delta_tables.open_table(output, name)):
            return 0  # another command may have deleted the files
        raise
    partition = night._asdict()

    def commit() -> int:
        newest = delta_tables.open_table(output, name)
        if newest is None or is_changed(newest):
            return 0
        turn = [commits.next_turn(newest)]
        note = {"maintained": "compaction"}
        commits.commit_files(newest, new, partition, turn, True, note, only_night=True)
        return len(new)

    return commit_in_turn(commit, f"compact {name}")
