"""A graph from anywhere: what the trainer writes is read, everything else is refused."""

import json
import re
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.artifact import ArtifactError
from schemas.artifact_files import MODEL_FILE, read_artifact, read_openvino, write_artifact
from schemas.networks import openvino_file
from schemas.networks.openvino_file import check_model
from tests.support.openvino_networks import add_to_artifact
from tests.support.samples import make_artifact


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted")
    make_artifact(folder)
    return folder, add_to_artifact(folder)


@pytest.fixture(scope="module")
def network(converted):
    folder, _ = converted
    return (folder / "openvino.xml").read_text(), (folder / "openvino.bin").read_bytes()


def scores(graph, weights, pixels):
    import openvino

    core = openvino.Core()
    model = core.read_model(graph.encode(), openvino.Tensor(np.frombuffer(weights, np.uint8)))
    return core.compile_model(model, "CPU")(pixels)[0]


def test_a_checked_graph_is_the_same_network_and_checking_it_again_changes_nothing(network):
    graph, weights = network
    checked = check_model("x", graph.encode(), weights)
    assert checked.graph == graph
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    assert (scores(graph, weights, pixels) == scores(checked.graph, weights, pixels)).all()


def test_notes_for_tools_are_dropped(network):
    graph, weights = network
    noted = graph.replace("</net>", '<rt_info><weights_path value="/etc/passwd" /></rt_info></net>')
    noted = noted.replace("</layer>", "<rt_info><attribute /></rt_info></layer>", 1)
    assert check_model("x", noted.encode(), weights).graph == graph


_LAYER = '<layer id="0"'
_SOME_CONSTANT = re.compile(r'offset="\d+" size="(\d+)"')


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<net", "<!DOCTYPE net [<!ENTITY a 'b'>]><net", "declarations"),
        ("<net", "<?xml-stylesheet href='x'?><net", "declarations"),
        ("<layers>", "<layers><!-- x -->", "declarations"),
        ("<net", "<set", "not XML"),
        ('version="11"', 'version="10"', "not a graph of OpenVINO's format 11"),
        ("</net>", "<statistics /></net>", "not a graph of OpenVINO's format 11"),
        ('type="Sigmoid" version="opset1"', 'type="Sigmoid" version="evil"', "'Sigmoid' 'evil'"),
        ('type="Sigmoid"', 'type="TensorIterator"', "a layer 'TensorIterator'"),
        ('type="Sigmoid"', 'type="ReadValue"', "a layer 'ReadValue'"),
        ('keep_dims="false"', 'keep_dims="false" path="/etc/passwd"', "a setting path="),
        ('keep_dims="false"', 'keep_dims="../../x"', r"a setting keep_dims='\.\./"),
        (_LAYER, '<layer id="0x"', "'0x' is not a whole number"),
        (_LAYER, '<layer id="99999999999999999"', "is not a whole number"),
        ("<data", "<body /><data", "a part 'body'"),
        ("<dim>64</dim>", "<dim>6e4</dim>", "'6e4' is not a whole number"),
        ("<dim>64</dim>", "<dim>-64</dim>", "'-64' is not a whole number"),
        ("<dim>64</dim>", "<dum>64</dum>", "a port of an unusual form"),
        ('precision="FP32"', 'precision="string"', "numbers of the type 'string'"),
        ("<edge ", '<edge x="1" ', "an edge of an unusual form"),
        ("<edges>", "<edges><layer />", "an edge of an unusual form"),
        ("layer0", "l\u00e4yer", "can't decode|not ASCII|codec"),
    ],
)
def test_what_the_trainer_does_not_write_is_refused(network, old, new, message):
    graph, weights = network
    assert old in graph
    with pytest.raises(ArtifactError, match=message):
        check_model("openvino.xml", graph.replace(old, new, 1).encode(), weights)


@pytest.mark.parametrize(
    ("offset", "size"),
    [("0", "1"), ("999999999", None), ("-4", None), ("", None), ("0", "1000000000")],
)
def test_a_constant_must_be_in_the_weights_and_as_large_as_its_shape(network, offset, size):
    graph, weights = network
    found = _SOME_CONSTANT.search(graph)
    changed = f'offset="{offset}" size="{size or found[1]}"'
    with pytest.raises(ArtifactError, match=r"claims|whole number"):
        check_model("x", graph.replace(found[0], changed, 1).encode(), weights)
    without = graph.replace(found[0], "", 1)
    with pytest.raises(ArtifactError, match="whole number"):
        check_model("x", without.encode(), weights)


def test_a_graph_of_absurd_size_is_not_parsed(network, monkeypatch):
    graph, weights = network
    monkeypatch.setattr(openvino_file, "MOST_GRAPH_BYTES", len(graph) - 1)
    with pytest.raises(ArtifactError, match=r"it has [\d,]+ bytes"):
        check_model("x", graph.encode(), weights)
    monkeypatch.setattr(openvino_file, "MOST_GRAPH_BYTES", 10**9)
    monkeypatch.setattr(openvino_file, "_MOST_LAYERS", 5)
    with pytest.raises(ArtifactError, match="layers and"):
        check_model("x", graph.encode(), weights)


@given(st.data())
def test_a_graph_with_changed_bytes_is_read_or_refused_and_nothing_else(network, data):
    graph, weights = network
    raw = bytearray(graph.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=6))
    with suppress(ArtifactError):
        check_model("x", bytes(raw), weights)


def test_files_of_the_network_are_covered_by_the_artifacts_digests(converted):
    folder, artifact = converted
    original = (folder / "openvino.bin").read_bytes()
    (folder / "openvino.bin").write_bytes(original[:-4] + b"abcd")
    try:
        with pytest.raises(ArtifactError, match=r"sha256 of openvino\.bin differs"):
            read_artifact(folder)
        with pytest.raises(ArtifactError, match=r"sha256 of openvino\.bin differs"):
            read_openvino(folder, artifact, "float32")
        assert read_artifact(folder, [MODEL_FILE]) == artifact
        (folder / "openvino.bin").unlink()
        with pytest.raises(ArtifactError, match=r"openvino\.bin"):
            read_openvino(folder, artifact, "float32")
    finally:
        (folder / "openvino.bin").write_bytes(original)
    with pytest.raises(ArtifactError, match=r"openvino_int8\.xml"):
        read_openvino(folder, artifact, "int8")


def test_an_artifact_with_a_graph_that_is_refused_is_refused(tmp_path):
    make_artifact(tmp_path)
    artifact = add_to_artifact(tmp_path)
    graph = (tmp_path / "openvino.xml").read_text()
    (tmp_path / "openvino.xml").write_text(graph.replace('"Sigmoid"', '"If"'))
    write_artifact(tmp_path, artifact)
    with pytest.raises(ArtifactError, match=r"openvino\.xml: it has a layer 'If'"):
        read_artifact(tmp_path)


def test_a_network_that_was_converted_from_another_model_is_refused(converted, tmp_path):
    folder, _ = converted
    data = json.loads((folder / "artifact.json").read_text())
    data["engines"]["openvino"]["model_digest"] = "0" * 64
    (tmp_path / "artifact.json").write_text(json.dumps(data))
    with pytest.raises(ArtifactError, match="model_digest of the openvino network differs"):
        read_artifact(tmp_path)
