"""Tests of `pipelines.blocks`."""
