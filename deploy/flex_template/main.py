"""The program that Dataflow's template launcher runs in the image: the scoring job, with the
template's parameters as its flags."""

import sys

from beam_jobs.flex_template import as_flags
from beam_jobs.score_chips import main
from pipelines.commands import run_command

if __name__ == "__main__":
    sys.argv[1:] = as_flags(sys.argv[1:])
    run_command(main)
