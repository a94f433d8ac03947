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
from packaging.requirements import Requirement

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
    """Package to version, on the image's Python."""
    lines = (_ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if "==" in line and not line.startswith("#")]
    python = {"python_version": "3.12", "python_full_version": "3.12.3"}
    here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(python)]
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in here}


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
        assert name in {"${VARIANT}", *bases()} or tag not in ("", "latest")


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


def pinned(variant: str) -> dict[str, list[str]]:
    """A pinned package of a variant, as `name==version`, to its hashes."""
    text = (_ROOT / "deploy" / f"requirements-{variant}.txt").read_text()
    lines = [line.split() for line in text.replace("\\\n", " ").splitlines()]
    return {package: hashes for package, *hashes in lines}


@pytest.mark.parametrize(
    ("variant", "engines"), [("cpu", {"openvino"}), ("gpu", {"tensorflow", "keras"})]
)
def test_a_variant_has_its_own_engine_and_all_that_a_worker_needs(
    variant: str, engines: set[str]
) -> None:
    with patch("setuptools.setup") as setup:
        runpy.run_path(str(_ROOT / "setup.py"))
    extras = setup.call_args.kwargs["extras_require"]
    needed = [*setup.call_args.kwargs["install_requires"], *extras[variant]]
    needed += [each for extra in ("gcp", "aws", "scenes", "sign") for each in extras[extra]]
    names = {package.partition("==")[0] for package in pinned(variant)}
    assert names & {"openvino", "tensorflow", "keras", "nncf"} == engines
    assert {re.split(r"[^a-z0-9-]", each, maxsplit=1)[0] for each in needed} <= names
    assert "setuptools" in names


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_every_package_has_the_version_of_the_constraints_and_hashes(variant: str) -> None:
    found = pinned(variant)
    assert len(found) > 100
    for package, hashes in found.items():
        name, _, version = package.partition("==")
        assert constraints().get(name, version) == version
        assert hashes
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes)


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_no_variant_has_the_clients_of_ai_services_that_beams_extra_brings(variant: str) -> None:
    unused = {"google-cloud-aiplatform", "google-genai"}
    assert unused <= constraints().keys(), "not brought any more: deploy/hashed_requirements.py"
    assert unused.isdisjoint(package.partition("==")[0] for package in pinned(variant))


def test_both_variants_are_stages() -> None:
    assert build_arguments()["VARIANT"] in bases()
    assert {"cpu", "gpu"} <= set(bases())


def copied() -> list[str]:
    """Paths of the checkout that are copied into the image."""
    arguments = [shlex.split(rest) for rest in given("COPY") if not rest.startswith("--from")]
    paths = [path for paths in arguments for path in paths[:-1]]
    return [
        name
        for path in paths
        for name in dict.fromkeys(path.replace("${VARIANT}", v) for v in ("cpu", "gpu"))
    ]


def test_copied_paths_exist_and_are_not_ignored() -> None:
    lines = (_ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    assert sorted(let_in) == sorted(copied())
    for path in copied():
        assert (_ROOT / path).exists(), path
        assert not any(fnmatch.fnmatch(path, line) for line in lines if line[:2] == "**")


def test_the_image_has_what_a_worker_needs_but_not_the_trainer() -> None:
    packages = {path for path in copied() if (_ROOT / path).is_dir()}
    assert packages == {"schemas", "pipelines", "beam_jobs"} == set(PROJECT_PACKAGES)


def test_pip_checks_hashes_fetches_nothing_else_and_keeps_no_cache() -> None:
    installs = [part for rest in given("RUN") for part in rest.split("&&") if "pip install" in part]
    of_image = [install for install in installs if "/opt/sbom" not in install]
    assert len(of_image) == 3
    for install in of_image:
        assert "--require-hashes" in install or "--no-deps --no-build-isolation ." in install
    assert all("--no-cache-dir" in install for install in installs)


def test_the_image_lists_its_packages() -> None:
    (made,) = (rest for rest in given("RUN") if "cyclonedx-py environment" in rest)
    assert "--output-file /sbom.cdx.json /opt/venv/bin/python" in made
    assert "--from=sbom /sbom.cdx.json ./" in given("COPY")


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
