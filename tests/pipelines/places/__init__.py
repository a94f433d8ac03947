"""Tests of pipelines.places."""
