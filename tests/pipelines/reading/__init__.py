"""Tests of `pipelines.reading`."""
