"""Tests of `pipelines.drift`."""
