"""The rooms of the source: which may import which, what is private, and where the tests are."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "pipelines", "train", "beam_jobs")

_ORDER = """
    schemas
    pipelines.errors pipelines.databases pipelines.blocks pipelines.flags pipelines.printing
    pipelines.commands pipelines.run_log pipelines.quiet_tensorflow pipelines.wording
    pipelines.moments
    pipelines.processors pipelines.elements pipelines.metrics pipelines.storage pipelines.imaging
    pipelines.drift pipelines.tables pipelines.places pipelines.artifacts
    pipelines.version_cache pipelines.tars pipelines.scenes pipelines.planning pipelines.reading
    pipelines.runs pipelines.scoring pipelines.reports pipelines.alerts pipelines.verdicts
    pipelines.exports pipelines.briefs pipelines.publishing pipelines.maintenance
    pipelines.batch_scoring
    train.addresses train.results train.pictures train.data train.shared_options train.networks
    train.judging train.converting train.fitting
    train.artifact train.recipes train.options train.training_set train.training
    train.artifact_chips train.chip_pictures train.compare train.evaluating
    train.evaluation train.conversion train.set_thresholds train.signing train.explore
    train.forest train.filters train.study train.sample train.sample_archive train.__main__
    beam_jobs.geojson beam_jobs.answers beam_jobs.options beam_jobs.questions beam_jobs.sessions
    beam_jobs.estimate beam_jobs.dataflow beam_jobs.engine beam_jobs.running beam_jobs
"""

ROOMS = tuple(_ORDER.split())
"""From the ground up: a room may import the rooms before it. A folder or a module is a room; the
last one is every command of `beam_jobs`."""

SHARED_WITH_TRAIN = (
    *("errors", "commands", "flags", "quiet_tensorflow", "processors"),
    *("storage", "imaging", "artifacts", "blocks"),
)
"""Rooms of `pipelines` that `train` may import, too."""

MUST_NOT_LOAD = {
    "schemas": {"apache_beam", "tensorflow", "keras"},
    "train": {"apache_beam"},
    **{f"pipelines.{room}": {"apache_beam"} for room in SHARED_WITH_TRAIN},
}
"""Libraries that a room does without, so that it runs where they are not installed."""

MODULES_IN_A_FOLDER = 20
LINES_IN_A_MODULE = 300


def sources(*packages: str) -> dict[str, str]:
    """Module name to source text."""
    paths = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    return {name_of(path): path.read_text(encoding="utf-8") for path in paths}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """The longest name in ROOMS that a module's name begins with."""
    parts = module.split(".")
    names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((name for name in names if name in ROOMS), "")


def imports_of(module: str, source: str) -> Iterator[str]:
    """Every module that source text imports, at the top or in functions."""
    package = module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(origin, names, level):
                origin = ".".join(part for part in (package if level else "", origin) if part)
                folder = (ROOT / origin.replace(".", "/")).is_dir()
                yield from [f"{origin}.{alias.name}" for alias in names] if folder else [origin]
            case ast.Call(
                ast.Name("__import__")
                | ast.Name("import_module")
                | ast.Attribute(_, "import_module"),
                [ast.Constant(str(name)), *_],
            ):
                yield name


def offences(module: str, source: str) -> list[str]:
    """The forbidden imports of a module, as messages."""
    return [f"{module} imports {n}" for n in imports_of(module, source) if not _allowed(module, n)]


def _allowed(module: str, name: str) -> bool:
    top, own = name.partition(".")[0], module.partition(".")[0]
    if top not in {*PACKAGES, "tests", "benchmarks", "deploy"}:
        rooms = (own, room_of(module))
        return not any(top in MUST_NOT_LOAD.get(room, ()) for room in rooms)
    if own == "beam_jobs" and top == "train":
        return False
    if own == "train" and top == "pipelines":
        return name.split(".")[1] in SHARED_WITH_TRAIN and not _is_private_to_others(module, name)
    here, there = room_of(module), room_of(name)
    if not there or _is_private_to_others(module, name):
        return False
    return ROOMS.index(there) < ROOMS.index(here) or there == here


def _is_private_to_others(module: str, name: str) -> bool:
    """Whether a name is a `_` module (or below one) of a folder that the module is not in."""
    parts = name.split(".")
    private = next((n for n, part in enumerate(parts) if _is_private(part)), None)
    return private is not None and module.split(".")[:private] != parts[:private]


def _is_private(part: str) -> bool:
    return part.startswith("_") and not part.startswith("__")


@pytest.mark.parametrize("package", PACKAGES)
def test_each_module_imports_only_rooms_below_its_own(package: str) -> None:
    found = sources(package)
    assert found
    assert [o for module, source in found.items() for o in offences(module, source)] == []


def test_each_room_exists_and_each_module_has_a_room() -> None:
    modules = sources(*PACKAGES)
    found = {room_of(module) for module in modules} - {""}
    assert found == set(ROOMS)
    assert {m for m in modules if not room_of(m)} <= {"pipelines", "train"}


@pytest.mark.parametrize(
    ("module", "source", "name"),
    [
        ("schemas.labels", "import pipelines", "pipelines"),
        ("schemas.render", "from train.data.dataset import Examples", "train.data.dataset"),
        ("schemas.artifact", "def f():\n    import keras", "keras"),
        ("schemas.artifact", "import tensorflow.io as tfio", "tensorflow.io"),
        ("pipelines.imaging.jpeg", "from pipelines.runs import records", "pipelines.runs.records"),
        ("pipelines.errors", "import apache_beam as beam", "apache_beam"),
        ("pipelines.storage.store", "from pipelines.elements import Unit", ""),
        ("pipelines.tables.a", "from pipelines.runs.records import B", "pipelines.runs.records"),
        ("pipelines.runs.a", "from pipelines.storage import _b", "pipelines.storage._b"),
        ("pipelines.scoring.a", "import beam_jobs.query", "beam_jobs.query"),
        ("pipelines.scoring.a", "if TYPE_CHECKING:\n    import train", "train"),
        ("train.fitting.fit", "from pipelines.runs import records", "pipelines.runs.records"),
        ("train.data.splits", "from train.fitting.fit import A", "train.fitting.fit"),
        ("train.fitting.fit", "class A:\n    import apache_beam.io", "apache_beam.io"),
        ("train.fitting.fit", "importlib.import_module('apache_beam')", "apache_beam"),
        ("beam_jobs.query", "from train.networks import views", "train.networks.views"),
        ("beam_jobs.engine.a", "from beam_jobs.query import ask", "beam_jobs.query"),
        ("beam_jobs.query", "from tests.support import samples", "tests.support.samples"),
    ],
)
def test_a_forbidden_import_is_caught(module: str, source: str, name: str) -> None:
    assert offences(module, source) == ([f"{module} imports {name}"] if name else [])


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_a_docstring_and_nothing_else(package: str) -> None:
    for path in (ROOT / package).rglob("__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert len(body) == 1, path
        assert ast.get_docstring(ast.Module(body, [])), f"{path} has no docstring"


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_nothing_else(package: str) -> None:
    code = f"import sys; b = {{*sys.modules}}; import {package}; print(*{{*sys.modules}} - b)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == [package]


def test_there_are_no_circles_among_the_modules() -> None:
    modules = sources(*PACKAGES)
    left = {m: {n for n in imports_of(m, s) if n in modules} for m, s in modules.items()}
    while free := [module for module, names in left.items() if not names & left.keys()]:
        for module in free:
            del left[module]
    assert sorted(left) == []


def test_no_folder_holds_more_modules_than_can_be_taken_in_at_a_glance() -> None:
    folders = [path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    counts = {folder: folders.count(folder) - 1 for folder in set(folders)}
    assert {str(f): n for f, n in counts.items() if n > MODULES_IN_A_FOLDER} == {}


def test_no_source_module_is_too_long_to_read() -> None:
    lengths = {module: source.count("\n") for module, source in sources(*PACKAGES).items()}
    assert {m: n for m, n in lengths.items() if n > LINES_IN_A_MODULE} == {}


def test_each_test_module_outside_whole_mirrors_one_source_module() -> None:
    source_modules = set(sources(*PACKAGES))
    elsewhere = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder = ".".join(path.parent.relative_to(ROOT / "tests").parts)
        module = f"{folder}.{path.stem.removeprefix('test_')}"
        if folder != "whole" and module not in source_modules:
            elsewhere.append(str(path.relative_to(ROOT)))
    assert elsewhere == []
