"""Tests of `train.compare`."""
