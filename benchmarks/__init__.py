"""Benchmarks: the limits of the machine, this project, and what people would use instead."""
