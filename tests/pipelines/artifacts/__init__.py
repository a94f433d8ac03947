"""Tests of `pipelines.artifacts`."""
