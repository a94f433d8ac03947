"""Tests of `pipelines.runs`."""
