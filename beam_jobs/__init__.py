"""What an operator runs: one short module per command, `python -m beam_jobs.NAME`."""
