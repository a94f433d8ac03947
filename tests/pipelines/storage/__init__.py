"""Tests of `pipelines.storage`."""
