"""Reusable transforms of the scoring job, each thin over plain functions."""
