"""Tests of `pipelines.planning`."""
