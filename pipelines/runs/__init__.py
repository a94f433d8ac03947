"""One run: its plan, attempts, staged units, counts, competing runs and record."""
