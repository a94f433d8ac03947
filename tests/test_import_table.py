"""The import table of CONTRIBUTING.md: which room of the house may know which."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "pipelines", "train", "beam_jobs")

FOR_TRAINING_TOO = frozenset({"pipelines.imaging", "pipelines.storage", "pipelines.errors"})
"""What training shares with scoring: the one path from bytes to pixels."""

GROUND = FOR_TRAINING_TOO | {
    *("pipelines.jpeg", "pipelines.tiff", "pipelines.tiff_directory"),
    *("pipelines.globs", "pipelines.local_files", "pipelines.object_store"),
    *("pipelines.object_listing", "pipelines.client_listing", "pipelines.request_rate"),
    *("pipelines.objects", "pipelines.s3_endpoint", "pipelines.storage_errors"),
}
"""These import each other and nothing else of `pipelines`;
imaging owns the first line, storage the rest."""

MAY_IMPORT: dict[str, frozenset[str]] = {
    "schemas": frozenset({"schemas"}),
    "ground": frozenset({"schemas"}) | GROUND,
    "pipelines": frozenset({"schemas", "pipelines"}),
    "train": frozenset({"schemas", "train"}) | FOR_TRAINING_TOO,
    "beam_jobs": frozenset({"schemas", "pipelines", "beam_jobs"}),
}
"""Packages and single modules of the project that each room may import."""

MUST_NOT_LOAD: dict[str, frozenset[str]] = {
    "schemas": frozenset({"apache_beam", "tensorflow", "keras"}),
    "ground": frozenset({"apache_beam"}),
    "train": frozenset({"apache_beam"}),
}
"""Libraries that a room does without, so that it runs where they are not installed."""

OF_THE_PROJECT = frozenset({*PACKAGES, "tests", "benchmarks", "deploy"})


def room_of(module: str) -> str:
    """The row of the table that a module stands in."""
    return "ground" if module in GROUND else module.partition(".")[0]


def imports_of(module: str, source: str) -> Iterator[str]:
    """Every module that source text imports, wherever in it: at the top or within functions."""
    package = module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(origin, names, level):
                origin = ".".join(part for part in (package if level else "", origin) if part)
                # The packages are flat: what is imported from one of them is a module.
                whole = origin not in PACKAGES
                yield from [origin] if whole else [f"{origin}.{a.name}" for a in names]
            case ast.Call(
                ast.Name("__import__")
                | ast.Name("import_module")
                | ast.Attribute(_, "import_module"),
                [ast.Constant(str(name)), *_],
            ):
                yield name


def offences(module: str, source: str) -> list[str]:
    """What a module imports and must not, in words."""
    room = room_of(module)
    return [
        f"{module} imports {name}" for name in imports_of(module, source) if not _fits(room, name)
    ]


def _fits(room: str, name: str) -> bool:
    top = name.partition(".")[0]
    if top not in OF_THE_PROJECT:
        return top not in MUST_NOT_LOAD.get(room, frozenset())
    return top in MAY_IMPORT[room] or name in MAY_IMPORT[room]


def sources(package: str) -> dict[str, str]:
    """Module name to source text, for every module of a package."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts)] = path.read_text(encoding="utf-8")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_each_module_imports_only_what_the_table_allows(package: str) -> None:
    modules = sources(package)
    assert modules
    assert [o for module, source in modules.items() for o in offences(module, source)] == []


def test_the_modules_that_the_table_names_are_there() -> None:
    assert sources("pipelines").keys() >= GROUND


@pytest.mark.parametrize(
    ("module", "source", "name"),
    [
        ("schemas.labels", "import pipelines", "pipelines"),
        ("schemas.render", "from train.dataset import Examples", "train.dataset"),
        ("schemas.artifact", "def f():\n    import keras", "keras"),
        ("schemas.artifact", "import tensorflow.io as tfio", "tensorflow.io"),
        ("pipelines.imaging", "from pipelines import planning", "pipelines.planning"),
        ("pipelines.storage", "from . import reading", "pipelines.reading"),
        ("pipelines.errors", "import apache_beam as beam", "apache_beam"),
        ("pipelines.tiff", "from pipelines.elements import Unit", "pipelines.elements"),
        ("pipelines.scoring", "import beam_jobs.options", "beam_jobs.options"),
        ("pipelines.scoring", "if TYPE_CHECKING:\n    import train", "train"),
        ("train.fit", "from pipelines.classifier import Classifier", "pipelines.classifier"),
        ("train.fit", "from pipelines import storage, tiff", "pipelines.tiff"),
        ("train.fit", "from pipelines import object_store", "pipelines.object_store"),
        ("train.fit", "from pipelines import *", "pipelines.*"),
        (
            "train.fit",
            "class A:\n    def f(self):\n        import apache_beam.io",
            "apache_beam.io",
        ),
        ("train.fit", "importlib.import_module('apache_beam')", "apache_beam"),
        ("beam_jobs.query", "from train import networks", "train.networks"),
        ("beam_jobs.query", "from tests.support import make_jpg", "tests.support"),
    ],
)
def test_a_forbidden_import_is_caught(module: str, source: str, name: str) -> None:
    assert offences(module, source) == [f"{module} imports {name}"]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("schemas.render", "import pyarrow\nfrom schemas.tables import RUNS"),
        (
            "pipelines.imaging",
            "from pipelines import tiff\nfrom pipelines.errors import ChipRejected",
        ),
        ("pipelines.scoring", "import tensorflow\nfrom . import reading"),
        ("train.fit", "import keras\nfrom pipelines import imaging, storage"),
        ("beam_jobs.query", "import apache_beam\nfrom pipelines import planning"),
    ],
)
def test_an_allowed_import_is_let_through(module: str, source: str) -> None:
    assert offences(module, source) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_a_docstring_and_nothing_else(package: str) -> None:
    body = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8")).body
    assert len(body) == 1
    assert ast.get_docstring(ast.Module(body, [])), "its one statement is no docstring"


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_nothing_else(package: str) -> None:
    code = f"import sys; b = {{*sys.modules}}; import {package}; print(*{{*sys.modules}} - b)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == [package]


@pytest.mark.parametrize("package", ["pipelines", "beam_jobs"])
def test_the_map_of_a_package_names_each_of_its_modules(package) -> None:
    map_of_it = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text())) or ""
    modules = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    lines = [line for line in map_of_it.splitlines() if line.startswith("    ")]
    named = set(re.findall(r"[a-z_0-9]+", " ".join(lines)))
    assert modules - named == set()
