"""Tests of `beam_jobs.engine`."""
