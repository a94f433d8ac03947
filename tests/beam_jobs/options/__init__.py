"""Tests of `beam_jobs.options`."""
