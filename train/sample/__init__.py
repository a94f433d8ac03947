"""The sample archive: labelled chips drawn by code, for the demo, tests and benchmarks."""
