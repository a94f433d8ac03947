"""The parser of commands."""

from __future__ import annotations

import argparse
from typing import NoReturn

from pipelines.commands import EXIT_USAGE, one_line


class CommandParser(argparse.ArgumentParser):
    """An argument parser that guesses no abbreviations and says what is wrong in one line."""

    def __init__(self, *, prog: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        self.exit(EXIT_USAGE, f"error: {one_line(message)} (see --help)\n")
