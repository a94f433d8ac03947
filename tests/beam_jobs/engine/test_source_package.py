"""The launcher sends this project's source to workers on other machines."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from beam_jobs.engine import launch, source_package
from pipelines.errors import UsageError

ROOT = Path(__file__).parents[3]
PRISM = "--runner=PrismRunner"


@pytest.mark.parametrize(
    ("flags", "needed"),
    [
        ([], False),
        (["--direct_running_mode=multi_processing", "--direct_num_workers=2"], False),
        (["--runner=DirectRunner"], False),
        ([f"--runner={launch.IN_PROCESS_ENGINE}"], False),
        ([PRISM], False),
        ([PRISM, "--environment_type=LOOPBACK"], False),
        ([PRISM, "--environment_type=PROCESS"], True),
        ([PRISM, "--environment_type=EXTERNAL"], True),
        ([PRISM, "--environment_type=PROCESS", "--setup_file=/my/setup.py"], False),
        (["--runner=FlinkRunner"], True),
        (["--runner=PortableRunner", "--environment_type=LOOPBACK"], False),
        (["--runner=DataflowRunner", "--sdk_container_image=image"], True),
    ],
)
def test_the_source_is_sent_to_workers_that_the_launcher_does_not_start(
    flags: list[str], needed: bool
) -> None:
    assert source_package.needs_package(flags) == needed
    with source_package.with_source_package(flags) as with_source:
        assert with_source[: len(flags)] == flags
        assert len(with_source) == len(flags) + needed
        if needed:
            setup_file = Path(with_source[-1].removeprefix("--setup_file="))
            assert setup_file.read_bytes() == (ROOT / "setup.py").read_bytes()


def test_an_installation_without_source_is_refused_unless_an_image_has_it(
    tmp_path: Path,
) -> None:
    flags = ["--runner=DataflowRunner"]
    with pytest.raises(UsageError, match=f"no setup.py in {tmp_path}.* launch from a checkout"):
        source_package.source_to_stage(flags, tmp_path)
    image = [*flags, "--sdk_container_image=image"]
    assert source_package.source_to_stage(image, tmp_path) is None
    assert source_package.source_to_stage([], tmp_path) is None


def test_the_source_distribution_that_beam_builds_holds_every_file_of_the_packages(
    tmp_path: Path,
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    source_package.copy_source(ROOT, source)
    build = [sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", str(tmp_path)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)

    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    files = {
        str(path.relative_to(ROOT))
        for package in source_package.PROJECT_PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert len(files) > 100
    assert files - found == set()
