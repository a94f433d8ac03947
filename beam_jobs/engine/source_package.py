"""The project's source, staged with the job for workers on other machines.

Beam builds a source distribution from a `setup.py`, stages it, and has every worker install it.
So a worker runs the code that planned the run, whatever its container image contains.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.errors import UsageError

PROJECT_FILES = ("setup.py", "pyproject.toml", "README.md")
PROJECT_PACKAGES = ("schemas", "pipelines", "beam_jobs")

_ROOT = Path(__file__).parents[2]
_LOOPBACK = "LOOPBACK"
_LOCAL_RUNNERS = ("", "DirectRunner", "FnApiRunner", "BundleBasedDirectRunner")


def needs_package(beam_args: Sequence[str]) -> bool:
    """Whether workers must install the project's source, and the flags do not name it.

    They must, unless they are in this process, or started by it with its own Python.
    """
    options = PipelineOptions(list(beam_args)).get_all_options()
    if options["setup_file"]:
        return False
    runner = (options["runner"] or "").rpartition(".")[2]
    if runner == "PrismRunner":
        return (options["environment_type"] or _LOOPBACK).upper() != _LOOPBACK
    return runner not in _LOCAL_RUNNERS and options["environment_type"] != _LOOPBACK


def source_to_stage(beam_args: Sequence[str], root: Path = _ROOT) -> Path | None:
    """The folder of the source that workers must install; None if they need none.

    Raises:
        UsageError: workers need the source, which is not here, and no image is named.
    """
    if not needs_package(beam_args):
        return None
    if (root / "setup.py").is_file():
        return root
    if PipelineOptions(list(beam_args)).get_all_options()["sdk_container_image"]:
        return None
    raise UsageError(
        f"no setup.py in {root}, from which the workers would get this project: launch from a "
        "checkout, or name its --setup_file, or an --sdk_container_image that has the project"
    )


@contextmanager
def with_source_package(beam_args: Sequence[str]) -> Iterator[list[str]]:
    """Beam's flags, with the `--setup_file` that the workers need; it exists within the block.

    Beam builds in the folder of the setup file. With a copy of the source, two launches do not
    disturb each other, and an installation may be read-only.
    """
    root = source_to_stage(beam_args)
    if root is None:
        yield list(beam_args)
        return
    with tempfile.TemporaryDirectory(prefix="forest-chips-source-") as folder:
        copy_source(root, Path(folder))
        yield [*beam_args, f"--setup_file={folder}/setup.py"]


def copy_source(root: Path, folder: Path) -> None:
    """Copy the files of a source distribution, without built or cached files."""
    for name in PROJECT_FILES:
        if (root / name).is_file():  # an image may not have the README
            shutil.copy(root / name, folder / name)
    for name in PROJECT_PACKAGES:
        leave_out = shutil.ignore_patterns("__pycache__", "*.py[co]")
        shutil.copytree(root / name, folder / name, ignore=leave_out)
