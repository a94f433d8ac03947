"""The tables and the picture of a benchmark run."""
