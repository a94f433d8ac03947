"""Tests of `pipelines.scoring`."""
