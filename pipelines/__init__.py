"""The scoring job's transforms, each thin over plain functions. `batch_scoring.py` is the graph on
one page."""
