"""Counts in lines for people."""

from __future__ import annotations


def count_of(number: int, noun: str) -> str:
    """A number of things: `1 run`, `0 runs`, `12,000 small files`.

    Args:
        noun: in the singular; it takes an s.
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
