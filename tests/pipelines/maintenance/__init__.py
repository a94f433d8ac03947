"""Tests of `pipelines.maintenance`."""
