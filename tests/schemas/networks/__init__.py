"""Tests of `schemas.networks`."""
