"""The folder in which the trainer keeps what it need not make or fetch twice."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where converted weights are kept: `$XDG_CACHE_HOME/forest-chips`, or below `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "forest-chips"
