"""Tests of `pipelines.imaging`."""
