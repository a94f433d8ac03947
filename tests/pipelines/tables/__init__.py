"""Tests of `pipelines.tables`."""
