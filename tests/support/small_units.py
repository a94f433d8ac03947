"""The scoring command with units of a few chips, so that a small archive has many.

python -m tests.support.small_units CHIPS_A_UNIT FLAG ...
"""

from __future__ import annotations

import sys

from beam_jobs import score_chips
from pipelines.commands import run_command
from pipelines.runs import run_plan

if __name__ == "__main__":
    run_plan.UNIT_CHIPS = int(sys.argv.pop(1))
    run_command(score_chips.main)
