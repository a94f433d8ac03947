"""Tests of whole commands, engines, stores and files of the project."""
