"""A network in OpenVINO's format, read without OpenVINO: a graph in XML, and its weights.

It may come from anywhere, and OpenVINO's reader, which is C++, follows what the graph says. So the
graph is read once, with bounds and a list of what the trainer writes, and OpenVINO gets a graph
that is written from what was checked, nothing else of the original.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError, SubElement, fromstring, tostring

from schemas.networks.keras_config import ArtifactError

MOST_GRAPH_BYTES = 1 << 25
"""Size beyond which a graph is not read. With 8 views in int8, VGG16 has 1 MB and
EfficientNetV2-S some 13."""

_MOST_LAYERS = 60_000
_WIDTHS = {"f32": 4, "i64": 8, "i32": 4, "f16": 2, "i8": 1, "u8": 1}

_WINDOW = ("strides", "pads_begin", "pads_end", "auto_pad")
_LAYERS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("Parameter", "opset1"): ("shape", "element_type"),
    ("Const", "opset1"): ("element_type", "shape", "offset", "size"),
    ("Convert", "opset1"): ("destination_type",),
    ("Convolution", "opset1"): (*_WINDOW, "dilations"),
    ("GroupConvolution", "opset1"): (*_WINDOW, "dilations"),
    ("Pad", "opset1"): ("pad_mode",),
    ("MaxPool", "opset8"): (
        *(*_WINDOW, "dilations", "kernel"),
        *("rounding_type", "index_element_type", "axis"),
    ),
    ("AvgPool", "opset1"): (*_WINDOW, "kernel", "exclude-pad", "rounding_type"),
    ("ReduceMean", "opset1"): ("keep_dims",),
    ("MatMul", "opset1"): ("transpose_a", "transpose_b"),
    ("Einsum", "opset7"): ("equation",),
    ("Add", "opset1"): ("auto_broadcast",),
    ("Subtract", "opset1"): ("auto_broadcast",),
    ("SquaredDifference", "opset1"): ("auto_broadcast",),
    ("Multiply", "opset1"): ("auto_broadcast",),
    ("Power", "opset1"): ("auto_broadcast",),
    ("FakeQuantize", "opset1"): ("levels", "auto_broadcast"),
    ("Reshape", "opset1"): ("special_zero",),
    ("Transpose", "opset1"): (),
    ("Concat", "opset1"): ("axis",),
    ("Erf", "opset1"): (),
    ("HSigmoid", "opset5"): (),
    ("HSwish", "opset4"): (),
    ("ReLU", "opset1"): (),
    ("Sigmoid", "opset1"): (),
    ("Swish", "opset4"): (),
    ("SoftMax", "opset8"): ("axis",),
    ("Softmax", "opset8"): ("axis",),
    ("Result", "opset1"): (),
}
"""The layers that the trainer's networks have, by type and version, and the settings of each. None
reads a file, runs code or repeats a part of the graph."""

_SETTING = re.compile(r"[A-Za-z0-9_?., >-]{0,200}", re.ASCII)
_EDGE = ("from-layer", "from-port", "to-layer", "to-port")
_DROPPED = "rt_info"  # notes for tools, among them paths


@dataclass(frozen=True)
class OpenVinoModel:
    """A checked network.

    Attributes:
        graph: its XML, written from what was checked.
        weights: the bytes that its constants are cut from.
        convolutions: how many convolutions it has.
    """

    graph: str
    weights: bytes
    convolutions: int


def check_model(name: str, graph: bytes, weights: bytes) -> OpenVinoModel:
    """A network as OpenVINO may read it.

    Args:
        name: of the file, for messages.

    Raises:
        ArtifactError: it has a part that the trainer does not write, or a constant that is not in
            the weights.
    """
    try:
        layers, edges = _parts(_parse(graph))
        checked = Element("net", name="chips", version="11")
        kept = SubElement(checked, "layers")
        kept.extend([_layer(layer, len(weights)) for layer in layers])
        SubElement(checked, "edges").extend([Element("edge", _edge(edge)) for edge in edges])
    except ValueError as error:
        raise ArtifactError(f"{name}: {error}") from error
    convolutions = sum(layer.get("type") == "Convolution" for layer in kept)
    return OpenVinoModel(tostring(checked, "unicode"), weights, convolutions)


def _parse(graph: bytes) -> Element:
    """The root of the graph; entities cannot be in it, since declarations are refused."""
    if len(graph) > MOST_GRAPH_BYTES:
        raise ValueError(f"it has {len(graph):,} bytes")
    text = graph.decode("ascii", "strict")
    declaration = '<?xml version="1.0"?>'
    if "<!" in text or text.count("<?") != text.startswith(declaration):
        raise ValueError("it has declarations that the trainer does not write")
    try:
        return fromstring(text.removeprefix(declaration))
    except ParseError as error:
        raise ValueError(f"it is not XML: {error}") from error


def _parts(root: Element) -> tuple[list[Element], list[Element]]:
    found = {part.tag: part for part in root if part.tag != _DROPPED}
    if root.tag != "net" or root.get("version") != "11" or found.keys() != {"layers", "edges"}:
        raise ValueError("it is not a graph of OpenVINO's format 11")
    layers, edges = list(found["layers"]), list(found["edges"])
    if len(layers) > _MOST_LAYERS or len(edges) > 4 * _MOST_LAYERS:
        raise ValueError(f"it has {len(layers):,} layers and {len(edges):,} edges")
    return layers, edges


def _layer(layer: Element, weights_bytes: int) -> Element:
    kind = layer.get("type", ""), layer.get("version", "")
    if layer.tag != "layer" or kind not in _LAYERS:
        raise ValueError(f"it has a layer {kind[0]!r} {kind[1]!r}, which no network here has")
    number = str(_number(layer.get("id")))
    checked = Element("layer", id=number, name=f"layer{number}", type=kind[0], version=kind[1])
    for part in layer:
        if part.tag == "data":
            settings = _settings(kind, part)
            if kind[0] == "Const":
                _check_constant(settings, weights_bytes)
            SubElement(checked, "data", settings)
        elif part.tag in ("input", "output"):
            SubElement(checked, part.tag).extend(list(_ports(part)))
        elif part.tag != _DROPPED:
            raise ValueError(f"the layer {kind[0]} has a part {part.tag!r}")
    if kind[0] == "Const" and checked.find("data") is None:
        raise ValueError("a constant has no place in the weights")
    return checked


def _settings(kind: tuple[str, str], data: Element) -> dict[str, str]:
    settings = dict(data.attrib)
    for name, value in settings.items():
        if name not in _LAYERS[kind] or not _SETTING.fullmatch(value):
            raise ValueError(f"the layer {kind[0]} has a setting {name}={value[:40]!r}")
    return settings


def _check_constant(settings: Mapping[str, str], weights_bytes: int) -> None:
    shape = [_number(side) for side in settings.get("shape", "").split(",") if side.strip()]
    width = _WIDTHS.get(settings.get("element_type", ""), 0)
    start, size = _number(settings.get("offset")), _number(settings.get("size"))
    if not width or size != width * math.prod(shape) or start + size > weights_bytes:
        raise ValueError(
            f"a constant {settings.get('element_type')} {shape} claims {size:,} bytes from "
            f"{start:,} on, of {weights_bytes:,}"
        )


def _ports(side: Element) -> Iterator[Element]:
    for port in side:
        if port.tag != "port" or any(part.tag not in ("dim", _DROPPED) for part in port):
            raise ValueError(f"a layer has a port of an unusual form, {port.tag!r}")
        settings = {"id": str(_number(port.get("id")))}
        if precision := port.get("precision"):
            if precision not in ("FP32", "FP16", "I64", "I32", "I8", "U8"):
                raise ValueError(f"a layer has numbers of the type {precision[:40]!r}")
            settings["precision"] = precision
        checked = Element("port", settings)
        for dim in port:
            if dim.tag == "dim":
                text = dim.text or ""
                SubElement(checked, "dim").text = "-1" if text == "-1" else str(_number(text))
        yield checked


def _edge(edge: Element) -> dict[str, str]:
    if edge.tag != "edge" or edge.keys() != list(_EDGE):
        raise ValueError(f"it has an edge of an unusual form, {edge.tag!r}")
    return {name: str(_number(edge.get(name))) for name in _EDGE}


def _number(text: str | None) -> int:
    found = re.fullmatch(r"\s*(\d{1,12})\s*", text or "", re.ASCII)
    if not found:
        raise ValueError(f"{(text or '')[:40]!r} is not a whole number")
    return int(found[1])
