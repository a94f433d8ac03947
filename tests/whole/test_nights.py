"""Whatever happens in three nights, every chip is accounted for, and planned once."""

from __future__ import annotations

import csv
import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from beam_jobs.query import ask
from tests.support.samples import jpg_bytes

_ARCHIVES = int(os.environ.get("ARCHIVES", "2"))
Score = Callable[..., int]
SOUND, PERMANENT, TEMPORARY = "sound", "permanent", "temporary"
CONTENT = {
    "sound": (SOUND, jpg_bytes()),
    "other": (SOUND, jpg_bytes((90, 10, 10))),
    "empty": (PERMANENT, b""),
    "text": (PERMANENT, b"this is no picture"),
    "cut": (PERMANENT, jpg_bytes()[:400]),
    "gone": (TEMPORARY, None),  # a link that leads nowhere: unreadable, and tried again
}


@dataclass
class Archive:
    """A folder of chips, and what runs over it should report.

    Attributes:
        kinds: of the chips that are there now, by name.
        done: names of chips that are not to be tried again as they are.
        clock: the time of the last change; a replaced chip is newer.
    """

    folder: Path
    kinds: dict[str, str] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    clock: int = 1_700_000_000

    def put(self, name: str, content: str) -> None:
        """Add or replace a chip."""
        self.remove(name)
        path, self.clock = self.folder / name, self.clock + 1
        kind, data = CONTENT[content]
        if data is None:
            path.symlink_to("nowhere")
        else:
            path.write_bytes(data)
        os.utime(path, (self.clock, self.clock), follow_symlinks=False)
        self.kinds[name] = kind

    def remove(self, name: str) -> None:
        """Remove a chip if there is one."""
        (self.folder / name).unlink(missing_ok=True)
        self.kinds.pop(name, None)
        self.done.discard(name)

    def expect(self) -> dict[str, int]:
        """The expected counts of a run, after which these chips are done."""
        left = {name: kind for name, kind in self.kinds.items() if name not in self.done}
        self.done |= {name for name, kind in left.items() if kind != TEMPORARY}
        scored = sum(kind == SOUND for kind in left.values())
        return {
            "listed": len(self.kinds),
            "skipped": len(self.kinds) - len(left),
            "scored": scored,
            "quarantined": len(left) - scored,
        }

    def manifest(self, path: Path, draw: random.Random) -> Path:
        """A manifest that names every chip, some of them two or three times."""
        uris = [str(self.folder / name) for name in self.kinds]
        named = uris + draw.choices(uris, k=len(uris))
        draw.shuffle(named)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["chip_uri"], *([uri] for uri in named)])
        return path


def run(score: Score, artifact: Path, chips: Path, place: Path) -> dict[str, int]:
    """Score; returns the counts of the run's record."""
    flags = {"chips": chips, "artifact": artifact, "output": place / "out"}
    assert score(**flags, max_quarantine_ratio=1) == 0
    counts = "listed, skipped, scored, quarantined"
    newest = f"SELECT {counts} FROM runs ORDER BY planned_at DESC LIMIT 1"
    found: dict[str, int] = ask(str(place / "out"), newest).to_pylist()[0]
    return found


def seen(place: Path) -> set[str]:
    """Addresses of the scored or quarantined chips; no version of a chip is scored twice."""
    output = str(place / "out")
    twice = "SELECT chip_uri, etag FROM chip_scores GROUP BY ALL HAVING count(*) > 1"
    assert ask(output, twice).num_rows == 0
    both = "SELECT chip_uri FROM chip_scores UNION SELECT chip_uri FROM quarantine"
    return set(ask(output, both)["chip_uri"].to_pylist())


changes = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from([*CONTENT, "sound", "sound", "removed"])),
    max_size=10,
)


@settings(max_examples=_ARCHIVES, deadline=None)
@given(
    nights=st.lists(changes, min_size=3, max_size=3),
    named=st.lists(st.booleans(), min_size=3, max_size=3),
    seed=st.integers(0, 9),
)
def test_every_chip_of_three_nights_is_scored_quarantined_or_skipped_and_planned_once(
    quick_score, artifact, nights, named, seed
):
    with tempfile.TemporaryDirectory() as folder:
        place, draw = Path(folder), random.Random(seed)
        (place / "chips").mkdir()
        archive = Archive(place / "chips")
        archive.put("first.jpg", "sound")
        for number, (night, by_manifest) in enumerate(zip(nights, named, strict=True)):
            for chip, content in night:
                if content == "removed":
                    archive.remove(f"{chip}.jpg")
                else:
                    archive.put(f"{chip}.jpg", content)
            manifest = archive.manifest(place / f"{number}.csv", draw)
            chips = manifest if by_manifest else archive.folder
            assert run(quick_score, artifact, chips, place) == archive.expect()
            assert seen(place) >= {str(archive.folder / name) for name in archive.kinds}
            # The same again: only temporary failures are planned.
            assert run(quick_score, artifact, archive.folder, place) == archive.expect()
