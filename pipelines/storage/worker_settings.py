"""What the launcher knows and every worker process has to be told."""

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
        stores: which object stores it asks, and how patiently.
    """

    log: RunLog
    stores: StoreSettings

    def apply(self) -> None:
        """Set this process so; again does no harm."""
        self.log.begin()
        store.configure(self.stores)
