"""Which engine computes a model: by artifact, flags, device and what is installed."""

from dataclasses import replace

import pytest

from pipelines.errors import UsageError
from pipelines.scoring.engines import check_engine, choose_engine, doubt_about_int8, files_of
from schemas.artifact import ModelArtifact
from schemas.labels import LabelSet
from tests.support.samples import JPG

PLAIN = ModelArtifact("cnn", LabelSet(("a",), ()), (0.5,), JPG, "0", files={"model.keras": ""})
FLOAT = replace(PLAIN, files={**PLAIN.files, "openvino.xml": "", "openvino.bin": ""})
BOTH = replace(FLOAT, files={**FLOAT.files, "openvino_int8.xml": "", "openvino_int8.bin": ""})

NEITHER, ALL = set(), {"tensorflow", "openvino"}


@pytest.mark.parametrize(
    ("artifact", "engine", "precision", "gpu", "installed", "chosen"),
    [
        (PLAIN, "auto", "auto", False, ALL, "tensorflow"),
        (FLOAT, "auto", "auto", False, ALL, "openvino"),
        (FLOAT, "auto", "float32", False, ALL, "openvino"),
        (FLOAT, "auto", "auto", True, ALL, "tensorflow"),
        (FLOAT, "auto", "auto", True, {"openvino"}, "openvino"),
        (FLOAT, "auto", "auto", False, {"tensorflow"}, "tensorflow"),
        (FLOAT, "auto", "float16", True, ALL, "tensorflow"),
        (FLOAT, "tensorflow", "auto", False, ALL, "tensorflow"),
        (FLOAT, "openvino", "bfloat16", True, ALL, "openvino"),
        (BOTH, "auto", "int8", True, ALL, "openvino"),
        (BOTH, "openvino", "int8", False, ALL, "openvino"),
    ],
)
def test_a_gpu_gets_tensorflow_and_a_cpu_openvino_if_the_artifact_has_it(
    artifact, engine, precision, gpu, installed, chosen
):
    found = choose_engine(artifact, engine, precision, lambda: gpu, installed.__contains__)
    assert found == chosen


def test_a_gpu_is_looked_for_only_if_it_matters():
    def ask():
        raise AssertionError("it was looked for")

    assert choose_engine(PLAIN, "auto", "auto", ask, ALL.__contains__) == "tensorflow"
    assert choose_engine(FLOAT, "openvino", "auto", ask, ALL.__contains__) == "openvino"
    assert choose_engine(BOTH, "auto", "int8", ask, ALL.__contains__) == "openvino"


@pytest.mark.parametrize(
    ("artifact", "engine", "precision", "message"),
    [
        (BOTH, "tensorflow", "int8", "int8 needs OpenVINO"),
        (BOTH, "openvino", "float16", "float16 needs --engine tensorflow and a GPU"),
        (FLOAT, "auto", "int8", r"no int8 network; python -m train convert --artifact"),
        (PLAIN, "openvino", "auto", r"no network for OpenVINO; python -m train convert"),
    ],
)
def test_what_no_machine_can_do_is_refused_with_what_to_do(artifact, engine, precision, message):
    with pytest.raises(UsageError, match=message):
        check_engine(artifact, engine, precision)
    with pytest.raises(UsageError, match=message):
        choose_engine(artifact, engine, precision, lambda: True, ALL.__contains__)


@pytest.mark.parametrize(
    ("artifact", "engine", "message"),
    [
        (PLAIN, "auto", r"needs tensorflow.*\[gpu\]', or let OpenVINO score it: python -m train"),
        (FLOAT, "tensorflow", r"needs tensorflow, which is not installed here: .*\[gpu\]'$"),
        (FLOAT, "openvino", r"needs openvino, which is not installed here: .*\[cpu\]'$"),
    ],
)
def test_an_engine_that_is_not_installed_is_named_with_how_to_install_it(artifact, engine, message):
    with pytest.raises(UsageError, match=message):
        choose_engine(artifact, engine, "auto", lambda: False, NEITHER.__contains__)


def test_an_engine_opens_only_its_own_files():
    assert files_of("tensorflow", "auto") == ("model.keras",)
    assert files_of("openvino", "bfloat16") == ("openvino.xml", "openvino.bin")
    assert files_of("openvino", "int8") == ("openvino_int8.xml", "openvino_int8.bin")


@pytest.mark.parametrize(
    ("engines", "doubted"),
    [
        ({"openvino": {"int8": {"accepted": False}}}, True),
        ({"openvino": {"int8": {"accepted": True}}}, False),
        ({"openvino": {"int8": {}}}, False),  # of an earlier trainer
        ({"openvino": {"int8": ["?"]}}, False),
        ({"openvino": {}}, False),
        ({}, False),
    ],
)
def test_an_int8_network_that_the_trainer_did_not_accept_is_doubted(engines, doubted):
    doubt = doubt_about_int8(replace(BOTH, engines=engines))
    assert (doubt is not None) == doubted
    if doubted:
        assert doubt.startswith("--precision int8: on validation chips")
