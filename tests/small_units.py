"""The scoring command with units of a few chips, so that a small archive has many.

python -m tests.small_units CHIPS_A_UNIT FLAG ...
"""

from __future__ import annotations

import sys

from beam_jobs import score_chips
from beam_jobs.command import run_command
from pipelines import planning

if __name__ == "__main__":
    planning.UNIT_CHIPS = int(sys.argv.pop(1))
    run_command(score_chips.main)
