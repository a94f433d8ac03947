"""Tests of `train.judging`."""
