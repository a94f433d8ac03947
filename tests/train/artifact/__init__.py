"""Tests of `train.artifact`."""
