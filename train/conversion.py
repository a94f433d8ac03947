"""The conversion, top to bottom: an artifact in, the same with networks for OpenVINO out."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.artifacts.loading import load_model
from pipelines.artifacts.opening import open_artifact
from pipelines.artifacts.signing import TRUSTED_KEY
from pipelines.commands import CommandLine
from pipelines.errors import RunFailed, UsageError, as_usage_error
from pipelines.flags import common_flag, flag
from pipelines.storage.store_flags import StoreOptions
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.artifact_files import OPENVINO_FILES, SIGNATURE_FILE
from train.artifact.export import replace_artifact, resolve_target, write_descriptions
from train.artifact.file_names import SPLIT_FILE
from train.artifact_chips import decode_for, match_chips
from train.converting.engines import add_openvino
from train.converting.int8 import Chips
from train.data.label_files import Part, read_split
from train.data.pixel_cache import choose_cache
from train.shared_options import LABELS, CacheOptions, LabelledOptions


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(CacheOptions, StoreOptions):
    """The options of `python -m train convert`."""

    artifact: str = flag("The local folder of the artifact, which is replaced.", metavar="FOLDER")
    trusted_key: str | None = TRUSTED_KEY(default=None)
    chips: str | None = common_flag(
        "The chips that it was trained on, to make and judge an int8 network, too.",
        metavar="URI",
        default=None,
    )
    labels: str | None = LABELS(default=None)
    split: str | None = common_flag(
        "A csv with the columns image_name and split: training chips choose the ranges of the "
        "8-bit numbers, validation chips judge them. Default: the artifact's own.",
        metavar="FILE",
        default=None,
    )


LINE = CommandLine(
    "train convert",
    ConvertOptions,
    "Add networks for OpenVINO, the fastest engine on a CPU, to a model artifact.",
)


def convert_artifact(options: ConvertOptions) -> ModelArtifact:
    """Add to an artifact what OpenVINO needs, and return the new artifact. Its model stays the same
    and so does its model_digest.

    Raises:
        UsageError: the artifact, the chips or the labels cannot be used.
        RunFailed: OpenVINO cannot compute its network.
    """
    folder = resolve_target(options.artifact)
    with as_usage_error("--artifact", (UsageError, ArtifactError)):
        _, artifact = open_artifact(str(folder), trusted_key=options.trusted_key)
    was_signed = (folder / SIGNATURE_FILE).exists()
    chips = _chips(options, folder, artifact)
    model = load_model(folder, artifact)
    with replace_artifact(folder) as new:
        shutil.copytree(folder, new, dirs_exist_ok=True)
        for name in OPENVINO_FILES["int8"] if chips else ():
            (new / name).unlink(missing_ok=True)
        engines = add_openvino(new, artifact, model, chips)
        if not engines:
            raise RunFailed(f"{folder} is as before: its network cannot be converted")
        known = {} if chips else artifact.engines.get("openvino", {})  # an int8 network stays
        engines["openvino"] = {**known, **engines["openvino"]}
        written = write_descriptions(new, replace(artifact, engines=engines))
    print(f"Artifact: {folder}", flush=True)
    if was_signed:
        print("It is another artifact.json, so its signature was removed: train sign signs it.")
    return written


def _chips(options: ConvertOptions, folder: Path, artifact: ModelArtifact) -> Chips | None:
    """Chips of both parts, decoded; None without `--chips`."""
    if options.chips is None:
        if options.labels or options.split:
            raise UsageError("--labels and --split need --chips, whose labels and parts they are")
        return None
    if not options.split and not (folder / SPLIT_FILE).is_file():
        raise UsageError(f"--split: {folder} has no {SPLIT_FILE}; name a csv of the chips' parts")
    with as_usage_error("--split"):
        split = read_split(options.split or str(folder / SPLIT_FILE))
    chips = match_chips(LabelledOptions(chips=options.chips, labels=options.labels), artifact)
    cache = choose_cache(options.pixel_cache, options.pixel_cache_gb)
    parts: tuple[Part, Part] = ("train", "validation")
    names = {part: [n for n in chips.uris if split.get(n) == part] for part in parts}
    found = {part: decode_for(artifact, names[part], chips, cache) for part in parts}
    for part, examples in found.items():
        if not examples.names:
            raise UsageError(f"--chips: the part {part} of the split has no chip that can be used")
    validation = found["validation"]
    return Chips(found["train"].pixels, validation.pixels, validation.truth)
