"""The flag that every command on the tables shares: where they are."""

from __future__ import annotations

import argparse
from functools import partial

from pipelines.errors import UsageError
from pipelines.flags import flag
from pipelines.storage import store


def address(text: str) -> str:
    """An absolute address, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is empty, signed, or of an unknown scheme.
    """
    if not text:  # an unset variable in a script must not mean the working directory
        raise argparse.ArgumentTypeError("the address is empty")
    try:
        return store.absolute_uri(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


OUTPUT = partial(flag, "The address of the tables.", address, metavar="URI")
"""The flag `--output`."""
