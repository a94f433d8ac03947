"""Tests; one module for each source module, and some for whole commands."""
