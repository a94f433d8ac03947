"""Tests of `beam_jobs.dataflow`."""
