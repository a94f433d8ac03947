"""Bugs planted in the commit path, and what must find each of them: a test of the tests.

A mutant changes a few words of a function. Its code is replaced in place, so that every module that
has imported the function has the mutant.
"""

import importlib
import inspect
import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Literal, NamedTuple

VARIABLE = "SEASON_MUTANT"
"""Names the mutant of a process that is an actor."""


class Mutant(NamedTuple):
    """A planted bug.

    Attributes:
        where: module and function.
        old, new: what is replaced; it must be there once.
        by: what finds it: the crash points of a scenario, answers that it loses, or the orders of
            a pair.
    """

    where: str
    old: str
    new: str
    by: tuple[Literal["crash", "lost", "orders"], *tuple[str, ...]]


MUTANTS = {
    # --- Publishing: the order of its commits ---------------------------------------------------
    "scores are committed before quarantine": Mutant(
        "pipelines.publishing.publishing:_publish_rows",
        '    _publish_files(plan, "quarantine", quarantine)\n    publish_model(plan)\n'
        '    _publish_files(plan, "chip_scores", scores)\n',
        '    _publish_files(plan, "chip_scores", scores)\n    publish_model(plan)\n'
        '    _publish_files(plan, "quarantine", quarantine)\n',
        ("crash", "publish"),
    ),
    "the row in runs is written before the rows that it is about": Mutant(
        "pipelines.publishing.publishing:publish_run",
        "    _publish_rows(plan, staged)\n    records.publish_record(plan, counts, verdict)\n",
        "    records.publish_record(plan, counts, verdict)\n    _publish_rows(plan, staged)\n",
        ("crash", "publish"),
    ),
    "staging is deleted before the row in runs is written": Mutant(
        "pipelines.publishing.publishing:publish_run",
        "    records.publish_record(plan, counts, verdict)\n",
        "    _drop_staging(plan)\n    records.publish_record(plan, counts, verdict)\n",
        ("crash", "publish"),
    ),
    "a finished commit is made again": Mutant(
        "pipelines.runs.committing:is_done",
        ">= plan.attempt",
        "> plan.attempt",
        ("crash", "publish"),
    ),
    "a replacement leaves the old rows": Mutant(
        "pipelines.runs.committing:commit_rows",
        "replace = plan.attempt > 1 or name == RUNS.name",
        "replace = name == RUNS.name",
        ("crash", "rescore"),
    ),
    "a run does not say in which version it was committed": Mutant(
        "pipelines.runs.committing:commit_rows",
        "transactions.append((committed, table.version() + 1))",
        "pass",
        ("crash", "publish"),
    ),
    "quarantine of a refused attempt counts": Mutant(
        "pipelines.tables.publications:published_run_ids",
        "run in with_rows or _is_published_without(scores, run)",
        "attempts_of(scores, run) >= 0",
        ("crash", "publish"),
    ),
    "the newest transactions are not read": Mutant(
        "pipelines.tables.transactions:_read_all",
        "range(start + 1, version + 1)",
        "range(start + 1, version)",
        ("crash", "publish"),
    ),
    "transactions before a checkpoint are forgotten": Mutant(
        "pipelines.tables.transactions:_read_all",
        "dict(_in_checkpoint(*checkpoints[start])) if start >= 0 else {}",
        "{}",
        ("crash", "maintain"),
    ),
    # --- Publishing: two at once ------------------------------------------------------------------
    "commits do not take turns": Mutant(
        "pipelines.tables.commits:next_turn",
        "return (PUBLISHER,",
        'return (f"{PUBLISHER}-{time.time_ns()}",',
        ("orders", "score", "rival"),
    ),
    "no one looks for rivals": Mutant(
        "pipelines.runs.rivals:refuse_rivals",
        "if plan.rescore or not plan.to_score:",
        "if True:",
        ("orders", "score", "rival"),
    ),
    "a commit that met another one is tried on the same snapshot": Mutant(
        "pipelines.runs.committing:commit_rows",
        "snapshots.pop() if snapshots",
        "snapshots[0] if snapshots",
        ("orders", "score", "rival"),
    ),
    "rivals are looked for only before the commit": Mutant(
        "pipelines.runs.committing:commit_rows",
        'if name == "chip_scores":\n            with recording',
        'if name == "no table":\n            with recording',
        ("orders", "score", "rival"),
    ),
    "a refused attempt is resumed": Mutant(
        "pipelines.runs.attempts:find_attempt",
        "plan is not None and not read_reason(plan, REFUSAL_FILE)",
        "plan is not None",
        ("orders", "score", "rival"),
    ),
    "a commit that meets another is not tried again": Mutant(
        "pipelines.tables.commits:commit_in_turn",
        "range(1, COMMIT_TRIES + 1)",
        "range(1, 2)",
        ("orders", "score", "withdraw"),
    ),
    # --- Replacing, withdrawing, relabelling ------------------------------------------------------
    "readers see the quarantine of a replacement before its scores": Mutant(
        "pipelines.tables.replacing:quarantined_rows",
        "if scores else {}",
        "if not scores else {}",
        ("crash", "rescore"),
    ),
    "a withdrawal begins with the row in runs": Mutant(
        "pipelines.maintenance.withdrawing:withdraw_run",
        "for table in READ_ORDER]\n    return removed[0]",
        "for table in READ_ORDER[::-1]]\n    return removed[-1]",
        ("crash", "withdraw"),
    ),
    "readers believe the row in runs": Mutant(
        "pipelines.tables.views:_rows_of_runs",
        'rows.filter(is_published == (pads.field("status") == PUBLISHED))',
        "rows",
        ("crash", "withdraw"),
    ),
    "a relabelled run is withdrawn": Mutant(
        "pipelines.maintenance.withdrawing:_withdraw_from",
        "if table is CHIP_SCORES:",
        "if False:",
        ("orders", "relabel", "withdraw"),
    ),
    "a relabelling publishes rows that were withdrawn meanwhile": Mutant(
        "pipelines.runs.rivals:_refuse_changed_sources",
        'if changed := sorted(newer.intersection(plan.options["relabelled_runs"])):',
        "if changed := sorted(newer.intersection([])):",
        ("orders", "relabel", "withdraw"),
    ),
    # --- Maintenance ------------------------------------------------------------------------------
    "chips of removed nights are forgotten": Mutant(
        "pipelines.maintenance.retention:expire",
        "_remember(output, tables, old)\n",
        "pass\n",
        ("crash", "maintain"),
    ),
    "nights are removed before their chips are remembered": Mutant(
        "pipelines.maintenance.retention:expire",
        "        with commits.conflict_if_replaced(output, tables):\n"
        "            _remember(output, tables, old)\n        for name, table in tables.items():\n"
        "            if table is not None and old[name]:\n"
        "                _remove(table, old[name], before)\n",
        "        for name, table in tables.items():\n"
        "            if table is not None and old[name]:\n"
        "                _remove(table, old[name], before)\n"
        "        _remember(output, tables, old)\n",
        ("crash", "maintain"),
    ),
    "compaction brings back what was withdrawn meanwhile": Mutant(
        "pipelines.maintenance.compaction:_rewrite",
        "if newest is None or is_changed(newest):",
        "if newest is None:",
        ("orders", "maintain", "withdraw"),
    ),
    "vacuum deletes what a publisher has not committed yet": Mutant(
        "pipelines.maintenance.housekeeping:clean_up",
        "full=hours >= FULL_VACUUM_HOURS",
        "full=True",
        ("orders", "maintain", "score"),
    ),
    "vacuum that meets another commit is not tried again": Mutant(
        "pipelines.maintenance.housekeeping:clean_up",
        'return commits.commit_in_turn(delete, f"delete dead files of {name}")',
        "return delete()",
        ("orders", "maintain", "rescore"),
    ),
    "staging of published runs is kept": Mutant(
        "pipelines.maintenance.housekeeping:drop_finished_staging",
        ">= attempt",
        "> attempt",
        ("crash", "publish"),
    ),
    # --- Alerts -----------------------------------------------------------------------------------
    "alerts are written before their changes": Mutant(
        "pipelines.alerts.updating:_renew",
        "    write(output, ALERT_CHANGES,",
        "    write(output, ALERTS, tables[ALERTS.name], with_state(alerts, done), replace=True)\n"
        "    write(output, ALERT_CHANGES,",
        ("crash", "alerts"),
    ),
    "changes of a dead update are published again": Mutant(
        "pipelines.alerts.updating:_renew",
        "new_changes(connection, published,",
        "new_changes(connection, published.slice(0, 0),",
        ("crash", "alerts"),
    ),
}
"""Each by what is wrong then."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Within it, this process has a bug."""
    mutant = MUTANTS[name]
    function = _function(mutant.where)
    old = function.__code__
    function.__code__ = _mutated(function, mutant).__code__
    try:
        yield
    finally:
        function.__code__ = old


@contextmanager
def planted_by_environment() -> Iterator[None]:
    """Within it, this process has the bug that a variable names, if it does."""
    name = os.environ.get(VARIABLE)
    if not name:
        yield
        return
    with planted(name):
        yield


def _function(where: str) -> FunctionType:
    module, _, path = where.partition(":")
    found = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    function = inspect.unwrap(found)  # type: ignore[arg-type]
    assert isinstance(function, FunctionType)
    return function


def _mutated(function: FunctionType, mutant: Mutant) -> FunctionType:
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(mutant.old) == 1, f"{mutant.where} has other words now: {mutant.old!r}"
    lines = source.replace(mutant.old, mutant.new).splitlines()
    while not lines[0].startswith("def "):  # without its decorators
        lines.pop(0)
    names: dict[str, object] = {}
    code = compile("from __future__ import annotations\n" + "\n".join(lines), "mutant", "exec")
    exec(code, function.__globals__, names)
    found = names[function.__name__]
    assert isinstance(found, FunctionType)
    return found
