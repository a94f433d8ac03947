"""Tests of `pipelines.publishing`."""
