"""What each command imports, of the packages that take long or much memory to import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from beam_jobs.__main__ import COMMANDS
from tests.support.openvino_networks import add_to_artifact
from tests.support.samples import make_artifact, write_chips

_ROOT = Path(__file__).parents[2]

_WATCHED = (
    *("apache_beam", "tensorflow", "keras", "openvino", "nncf", "networkx"),
    *("sklearn", "scipy", "matplotlib", "rasterio", "PIL", "h3ronpy", "duckdb", "deltalake"),
)
_CODE = f"""
import atexit, sys
sys.argv[0] = "forest-chips"
def report():
    print("IMPORTED", *({{*{_WATCHED!r}}} & {{*sys.modules}}), file=sys.stderr)
    assert sys.modules.get("openvino_telemetry") is None  # it reports to OpenVINO's maker
atexit.register(report)
from beam_jobs.__main__ import main
sys.exit(main())
"""
_BEAM, _TABLES = {"apache_beam", "deltalake", "duckdb"}, {"deltalake", "duckdb"}
_HELP = {
    "sample": {"PIL"},
    **dict.fromkeys(("score", "report", "publish", "withdraw", "relabel", "replay"), _BEAM),
    **dict.fromkeys(("query", "maintain", "brief", "export", "verdicts"), _TABLES),
    **dict.fromkeys(("places", "alerts"), _TABLES | {"h3ronpy"}),
    "bigquery": {"deltalake"},
}
"""What each command imports before it knows what to do; those of the trainer nothing."""


def imported(*arguments: str) -> set[str]:
    """The watched packages that a command imports."""
    done = subprocess.run(
        [sys.executable, "-c", _CODE, *arguments],
        cwd=_ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("IMPORTED"))
    return set(line.split()[1:])


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_only_what_the_command_always_needs(name):
    assert imported(name, "--help") == _HELP.get(name, set())


def test_scoring_jpgs_on_a_cpu_imports_beam_openvino_and_what_tables_need(tmp_path):
    write_chips(tmp_path / "chips", 1)
    make_artifact(tmp_path / "model", network="cnn")
    add_to_artifact(tmp_path / "model")
    named = {name: tmp_path / name for name in ("chips", "output")}
    flags = [f"--{name}={path}" for name, path in named.items()]
    found = imported("score", *flags, f"--artifact={tmp_path}/model")
    assert found == _BEAM | {"openvino"}
    assert imported("query", flags[1], "SELECT 1") == _TABLES
