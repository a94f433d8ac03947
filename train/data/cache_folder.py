"""The trainer's cache folder, for converted weights and decoded chips."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache folder: `$XDG_CACHE_HOME/forest-chips`, or below `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "forest-chips"
