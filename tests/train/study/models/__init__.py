"""Tests of `train.study.models`."""
