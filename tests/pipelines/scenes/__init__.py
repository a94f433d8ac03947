"""Tests of `pipelines.tars`."""
