"""The Dockerfile has pinned bases, existing paths, and the versions of constraints.txt."""

from __future__ import annotations

import fnmatch
import json
import re
import runpy
import shlex
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml

from beam_jobs.engine.source_package import PROJECT_PACKAGES

_ROOT = Path(__file__).parents[2]
_DOCKERFILE = _ROOT / "deploy" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Instruction and arguments, in order, without comments and broken lines."""
    lines = [line for line in _DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, _, rest in found]


def given(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


def constraints() -> dict[str, str]:
    lines = (_ROOT / "constraints.txt").read_text().splitlines()
    pins = (line.partition(";")[0].partition("==") for line in lines if "==" in line)
    return {name.strip(): version.strip() for name, _, version in pins}


def bases() -> dict[str, str]:
    """Stage to the image that it begins from."""
    stages = (re.fullmatch(r"(\S+) AS (\S+)", rest) for rest in given("FROM"))
    return {stage[2]: stage[1] for stage in stages if stage}


def build_arguments() -> dict[str, str]:
    return dict(rest.split("=", 1) for rest in given("ARG") if "=" in rest)


def test_every_base_is_pinned_to_a_version() -> None:
    assert len(bases()) == len(given("FROM"))
    for base in bases().values():
        name, _, tag = base.partition(":")
        assert name == "${VARIANT}" or tag not in ("", "latest")


def test_the_image_has_the_same_beam_version_as_the_job() -> None:
    assert bases()["beam"].endswith(":${BEAM}")
    assert build_arguments()["BEAM"] == constraints()["apache-beam"]


def test_all_parts_use_one_python_that_the_project_supports() -> None:
    beam = re.search(r"python(3\.\d+)_sdk", bases()["beam"])
    launcher = re.search(r"python3(\d+)-template", bases()["launcher"])
    assert beam
    assert launcher
    assert beam[1] == f"3.{launcher[1]}"
    for stage in ("cpu", "gpu"):
        assert re.search(r"ubuntu[:]?24\.04$", bases()[stage]), "its Python is 3.12"
    assert beam[1] == "3.12"


def test_cuda_has_the_version_of_tensorflow_or_a_little_newer() -> None:
    import tensorflow as tf

    built = tf.sysconfig.get_build_info()
    if "cuda_version" not in built:
        pytest.skip("this TensorFlow is built without CUDA")
    found = re.search(r"cuda:(\d+)\.(\d+)\.\d+-cudnn-runtime", bases()["gpu"])
    assert found
    major, minor = built["cuda_version"].split(".")[:2]
    assert found[1] == major
    assert int(found[2]) >= int(minor)
    assert f"cuda-nvcc-{found[1]}-{found[2]}={found[1]}.{found[2]}.*" in " ".join(given("RUN"))


def test_a_variant_has_its_own_engine_and_a_cpu_no_tensorflow() -> None:
    assert any('".[gcp,aws,${VARIANT}]"' in rest for rest in given("RUN"))
    assert "VARIANT" in given("ARG")  # once more, or it is empty within a stage
    with patch("setuptools.setup") as setup:
        runpy.run_path(str(_ROOT / "setup.py"))
    extras = setup.call_args.kwargs["extras_require"]
    common = [*setup.call_args.kwargs["install_requires"], *extras["gcp"], *extras["aws"]]
    engines = {"openvino", "tensorflow", "keras", "nncf"}
    for extra, expected in {"cpu": {"openvino"}, "gpu": {"tensorflow", "keras"}}.items():
        names = {re.split(r"[^a-z0-9-]", each, maxsplit=1)[0] for each in common + extras[extra]}
        assert names & engines == expected


def test_both_variants_are_stages() -> None:
    assert build_arguments()["VARIANT"] in bases()
    assert {"cpu", "gpu"} <= set(bases())


def copied() -> list[str]:
    """Paths of the checkout that are copied into the image."""
    arguments = [shlex.split(rest) for rest in given("COPY") if not rest.startswith("--from")]
    return [path for paths in arguments for path in paths[:-1]]


def test_copied_paths_exist_and_are_not_ignored() -> None:
    lines = (_ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    assert sorted(let_in) == sorted(copied())
    for path in copied():
        assert (_ROOT / path).exists(), path
        assert not any(fnmatch.fnmatch(path, line) for line in lines if line[:2] == "**")


def test_the_image_has_what_a_worker_needs_but_not_the_trainer() -> None:
    (made,) = (rest for rest in given("RUN") if rest.startswith("mkdir"))
    packages = {path for path in copied() if (_ROOT / path).is_dir()}
    assert packages == {"schemas", "pipelines", "beam_jobs"} == set(PROJECT_PACKAGES)
    assert packages <= set(made.split())


def test_pip_installs_by_the_constraints_and_keeps_no_cache() -> None:
    installs = [part for rest in given("RUN") for part in rest.split("&&") if "pip install" in part]
    assert len(installs) == 2
    for install in installs:
        assert "--constraint constraints.txt" in install
        assert "--no-cache-dir" in install


def test_apt_leaves_no_lists_and_installs_only_named_packages() -> None:
    for rest in given("RUN"):
        if "apt-get install" in rest:
            assert "--no-install-recommends" in rest
            assert "rm -rf /var/lib/apt/lists/*" in rest


def test_the_image_starts_as_a_worker_and_knows_the_templates_program() -> None:
    (entry,) = given("ENTRYPOINT")
    assert json.loads(entry) == ["/opt/apache/beam/boot"]
    (program,) = (r for r in given("ENV") if r.startswith("FLEX_TEMPLATE_PYTHON_PY_FILE="))
    assert f"COPY deploy/flex_template/main.py {program.partition('=')[2]}" in [
        f"{name} {rest}" for name, rest in instructions()
    ]


def test_cloud_build_builds_this_file() -> None:
    build = yaml.safe_load((_ROOT / "deploy" / "cloudbuild.yaml").read_text())
    (step,) = build["steps"]
    arguments = step["args"]
    assert arguments[arguments.index("--file") + 1] == "deploy/Dockerfile"
    assert build["substitutions"]["_VARIANT"] in bases()
