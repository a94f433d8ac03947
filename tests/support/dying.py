"""A process that is killed around a commit."""

import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from pipelines.runs import committing
from pipelines.tables import commits

_COMMIT_SECONDS = 0.01  # about what a commit takes on a disk


def die_at_commit(name: str, moment: str) -> None:
    """Kill this process before, during or after the commit to a table."""
    commit_files = committing.commit_files

    def commit_or_die(table: DeltaTable, *args: Any, **kwargs: Any) -> None:
        if Path(table.table_uri).name != name:
            commit_files(table, *args, **kwargs)
            return
        if moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if moment == "in":
            kill = threading.Timer(random.uniform(0, _COMMIT_SECONDS), os.kill)
            kill.args = (os.getpid(), signal.SIGKILL)
            kill.start()
        commit_files(table, *args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    committing.commit_files = commits.commit_files = commit_or_die
