"""Tests of `beam_jobs.estimate`."""
