"""The command that finds the places of the published chips."""

from pathlib import Path

import pytest

from beam_jobs import maintain, update_places
from pipelines.commands import exit_code
from tests.support.object_stores import S3Server
from tests.support.published_runs import at, publish, scored
from tests.support.releases import local_release

pytest_plugins = ["tests.support.object_stores"]

BOX = {"lon_min": -60.0, "lat_min": -3.0, "lon_max": -59.9931, "lat_max": -2.9931}
SCENE = {"lon_min": -50.0, "lat_min": -3.0, "lon_max": -48.0, "lat_max": -1.0}


@pytest.fixture
def output(tmp_path: Path) -> str:
    return str(tmp_path)


def printed(capsys: pytest.CaptureFixture[str], output: str, *more: str) -> list[str]:
    assert exit_code(update_places.main, ["--output", output, *more]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_command_says_what_it_added(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    publish(output, "run-1", [scored("a", **BOX), scored("b", **BOX)], published_at=at(1))
    assert printed(capsys, output) == [
        "places of H3 resolution 9: 1 footprint and 7 places added",
    ]
    assert printed(capsys, output) == [
        "places of H3 resolution 9: 0 footprints and 0 places added",
    ]
    publish(output, "run-2", [scored("scene", **SCENE)], published_at=at(2))
    assert printed(capsys, output, "--h3_resolution", "8") == [
        "places of H3 resolution 8, made again with another resolution: 2 footprints and 1 place "
        "added",
        "1 footprint with more than 10,000 cells: these chips are places of their own",
    ]


def test_chips_without_positions_are_places_of_their_own(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(output, "run-1", [scored("a")], published_at=at(1))
    assert printed(capsys, output) == ["no chip has a position: each is a place of its own"]


def test_chips_of_an_earlier_release_have_places_after_maintain(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, s3_uri: str, s3_server: S3Server
) -> None:
    output = local_release(tmp_path, s3_server).output
    (line,) = printed(capsys, output)
    assert line.startswith("40 chips of an earlier release without a footprint: run beam_jobs.main")
    assert maintain.main(["--output", output]) == 0
    capsys.readouterr()
    assert printed(capsys, output) == [
        "places of H3 resolution 9: 20 footprints and 226 places added"
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "no table chip_scores: publish a run there first"),
        (["--h3_resolution", "16"], "--h3_resolution: must be from 0 to 15, not 16"),
        (["--h3_resolution", "nine"], "--h3_resolution: must be a whole number, not 'nine'"),
    ],
)
def test_a_usage_error_is_one_line(
    output: str, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert exit_code(update_places.main, ["--output", output, *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
