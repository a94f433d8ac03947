"""Settings that the launcher passes to every worker process."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.run_log import RunLog
from pipelines.storage import store
from pipelines.storage.store import StoreSettings


@dataclass(frozen=True)
class WorkerSettings:
    """Settings of a process, the same on all workers of a run.

    Attributes:
        log: how it logs.
        stores: which object stores it uses, and how long it retries.
        skip_damaged: whether it leaves out damaged files of the tables.
    """

    log: RunLog
    stores: StoreSettings
    skip_damaged: bool = False

    def apply(self) -> None:
        """Configure this process; a second call does no harm."""
        self.log.begin()
        store.configure(self.stores)
