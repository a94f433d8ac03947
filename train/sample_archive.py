"""Write a sample archive: `python -m train.sample_archive --output FOLDER` (see `train.sample`)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.commands import CommandLine, exit_code
from pipelines.errors import UsageError
from pipelines.flags import at_least_0, at_least_1, common_flag, flag
from train.results import resolve_output
from train.sample.archive import MediaTypes, write_sample_archive
from train.sample.nights import write_nights


@dataclass(frozen=True)
class SampleOptions:
    """The options of the command."""

    output: str = flag("The local folder to write to; it is made if missing.", metavar="FOLDER")
    chips: int = common_flag("The number of chips.", at_least_1, default=1000)
    media_type: MediaTypes = common_flag("The files to write for each chip.", default="jpg")
    seed: int = flag("Another seed draws another archive. Default: 0.", at_least_0, default=0)
    nights: bool = flag(
        "Draw three nights of the same places instead, with sidecars: a river, a road and "
        "fields that appear, clouds between. --chips is the number of places then.",
        default=False,
    )
    workers: int | None = flag(
        "The processes that draw. Default: as many as there are cores.", at_least_1, default=None
    )


LINE = CommandLine(
    "train.sample_archive", SampleOptions, "Draw a sample archive of satellite chips from a seed."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write an archive and return the exit code."""
    return exit_code(_write, sys.argv[1:] if arguments is None else arguments)


def _write(arguments: Sequence[str]) -> int:
    options = LINE.parse(arguments)
    if options.nights:
        return _write_nights(options)
    try:
        archive = write_sample_archive(
            resolve_output(options.output),
            options.chips,
            options.seed,
            options.media_type,
            workers=options.workers,
        )
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    print(
        f"wrote {len(archive.chip_paths)} files of {options.chips} chips"
        f" ({archive.size_bytes / 1e6:.1f} MB) to {archive.folder / 'chips'},"
        f" their labels to {archive.labels_csv}"
    )
    return 0


def _write_nights(options: SampleOptions) -> int:
    if options.media_type != "jpg":
        raise UsageError("--nights draws jpg chips; leave --media_type out")
    try:
        nights = write_nights(resolve_output(options.output), options.chips, options.seed)
    except OSError as error:
        raise UsageError(str(error)) from error
    for night in nights:
        print(f"wrote {night}: chips, and sidecar.csv with their times and positions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
