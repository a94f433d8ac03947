"""Find the places of the published chips: the H3 cells that their footprints cover.

The tables `places` and `chip_places` get what is new, so that the view `looks` knows which pictures
show the same ground, however it was cut into chips. Run it after each night. A second call changes
nothing. Chips without a position are places of their own, and need no update.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from beam_jobs.options.reader_options import ReaderOptions
from beam_jobs.options.store_options import OUTPUT
from pipelines.commands import CommandLine, run_command
from pipelines.flags import Number, common_flag
from pipelines.places.cells import FINEST, MOST_CELLS
from pipelines.places.updating import Update, update_places
from pipelines.storage.store import configure
from pipelines.wording import count_of


@dataclass(frozen=True, kw_only=True)
class PlacesOptions(ReaderOptions):
    """The options of the command."""

    output: str = OUTPUT()
    h3_resolution: int | None = common_flag(
        "Resolution of the H3 cells, 0 to 15. If the tables have another one, they are made again. "
        "Default: that of the tables; at first, the coarsest whose cells are at most a quarter of "
        "the median footprint of the first published run.",
        Number(int, 0, FINEST, metavar="N"),
        default=None,
    )


LINE = CommandLine("beam_jobs.update_places", PlacesOptions, __doc__ or "")


def main(arguments: Sequence[str]) -> int:
    """Update the places of one OUTPUT; returns the exit code.

    Raises:
        UsageError: there are no tables, or the resolution is too fine for the chips.
        RunFailed: every attempt to commit conflicted with another writer.
        StorageError: a table cannot be read or written.
    """
    options = LINE.parse(arguments)
    configure(options.stores)
    update = options.reading(
        options.output, lambda: update_places(options.output, options.h3_resolution)
    )
    print("\n".join(_lines(update)))
    return 0


def _lines(update: Update) -> list[str]:
    """What was done, for people."""
    lines = []
    if update.resolution is None and not update.unknown:
        lines.append("no chip has a position: each is a place of its own")
    elif update.resolution is not None:
        again = ", made again with another resolution" if update.remade else ""
        added = f"{count_of(update.footprints, 'footprint')} and {count_of(update.places, 'place')}"
        lines.append(f"places of H3 resolution {update.resolution}{again}: {added} added")
    if update.refused:
        lines.append(
            f"{count_of(update.refused, 'footprint')} with more than {MOST_CELLS:,} cells: these "
            "chips are places of their own"
        )
    if update.unknown:
        lines.append(
            f"{count_of(update.unknown, 'chip')} of an earlier release without a footprint: run "
            "beam_jobs.maintain, then this command again"
        )
    return lines


if __name__ == "__main__":
    run_command(main)
