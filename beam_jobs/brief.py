"""Write a brief: one page about what has changed on the ground.

The page says which sites are new, confirmed, grown or no longer seen, with their pictures before
and after, a map, totals, what clouds hid, and how far each kind of alert can be trusted. It is one
HTML file that needs no network. Run it after `update_alerts`. By default it is about what the last
update changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from beam_jobs.options.moments import start_of
from beam_jobs.options.reader_options import ReaderOptions
from beam_jobs.options.store_options import OUTPUT, address
from pipelines.briefs.writing import Brief, Request, make_brief
from pipelines.commands import CommandLine, run_command
from pipelines.errors import UsageError
from pipelines.flags import common_flag, flag
from pipelines.storage import store
from pipelines.wording import count_of


@dataclass(frozen=True, kw_only=True)
class BriefOptions(ReaderOptions):
    """The options of the command."""

    output: str = OUTPUT()
    to: str = flag(
        "The file to write, local or remote; its name ends in .html.", address, metavar="FILE"
    )
    since: datetime | None = common_flag(
        "Changes that were published from this day (UTC) or time on are new. Default: those of the "
        "last update.",
        start_of,
        metavar="DATE",
        default=None,
    )
    area: str | None = common_flag(
        "Only sites that touch the area with this name (update_alerts --areas).",
        metavar="NAME",
        default=None,
    )
    language: Literal["en", "es", "pt"] = common_flag(
        "The language of the page: English, Spanish or Portuguese.", default="en"
    )


LINE = CommandLine(
    "beam_jobs.brief",
    BriefOptions,
    __doc__ or "",
    epilog="""examples:
  python -m beam_jobs.brief --output gs://bucket/forest --to brief.html
  python -m beam_jobs.brief --output out --to park.html --area Jamanxim --language pt
""",
)


def main(arguments: Sequence[str]) -> int:
    """Write one brief, and print what is in it; returns the exit code.

    Raises:
        UsageError: there are no alerts yet, or no such area; the file cannot be written.
        StorageError: the tables cannot be read.
    """
    options = LINE.parse(arguments)
    store.configure(options.stores)
    if not options.to.lower().endswith((".html", ".htm")):
        raise UsageError(f"--to {options.to!r}: the file's name must end in .html")
    request = Request(options.since, options.area, options.language)
    brief = options.reading(options.output, lambda: make_brief(options.output, request))
    data = brief.page.encode()
    store.write_bytes(options.to, data)
    for line in _lines(brief, len(data)):
        print(line)
    print(options.to)
    return 0


def _lines(brief: Brief, size_bytes: int) -> list[str]:
    """What is in the brief, for people."""
    since = f"since {brief.since:%Y-%m-%d %H:%M} UTC" if brief.since else "since the beginning"
    lines = [
        f"{count_of(brief.changed, 'site')} changed {since}, {brief.open_sites:,} open; "
        f"{size_bytes / 1e6:.1f} MB"
    ]
    if brief.without:
        sites = count_of(brief.without, "site")
        lines.append(f"the pictures of {sites} of {brief.with_pictures:,} cannot be shown")
    return lines


if __name__ == "__main__":
    run_command(main)
