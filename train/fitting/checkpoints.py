"""Checkpoints: all that training needs to resume after its last epoch, in their own folder.

The folder holds `state.json` (options, history, best epoch; it names the other files) and, as
npz, the arrays of the last epoch and of the best one. An epoch's files are written whole before
`state.json` is replaced, so a kill at any moment leaves the last epoch or the one before it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from pipelines.errors import UsageError
from train.fitting.progress import Arrays, Progress

STATE_FILE = "state.json"
_STATE_FIELDS = {"epochs", "best_epoch", "history", "identity"}
_OURS = re.compile(r"\.?(?:state\.json|(?:last|best)-\d{5,}\.npz)")


@dataclass(frozen=True)
class Checkpoints:
    """A folder of checkpoints of one training.

    Attributes:
        folder: local; made with the first checkpoint.
        identity: plain data that identifies the training.
    """

    folder: Path
    identity: Mapping[str, Any]

    def load(self) -> tuple[Progress, Arrays] | None:
        """The last checkpoint and all variables at its time, or None if there is none.

        Raises:
            UsageError: it belongs to another training, or is damaged; the message says what to do.
        """
        found = self._read_state()
        if found is None:
            return None
        self._check_identity(found, [*found["identity"], *self.identity])
        try:
            best = _read_arrays(self.folder / _best_file(found["best_epoch"]))
            state = _read_arrays(self.folder / _last_file(found["epochs"]))
            return Progress(found["history"], found["best_epoch"], best), state
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise UsageError(f"{self.folder} is damaged ({error}); {self._advice()}") from error

    def check(self) -> None:
        """Refuse another training's checkpoint by as much of the identity as is known yet, and a
        folder that holds anything else.

        Raises:
            UsageError: they differ, the checkpoint is damaged, or there are other files; the
                message says what to do.
        """
        if others := _other_files(self.folder):
            raise UsageError(
                f"{self.folder} is for checkpoints of this training, and {others[0]!r} there is "
                "not one: move it away, or give another --artifact"
            )
        if found := self._read_state():
            self._check_identity(found, list(self.identity))

    def save(self, progress: Progress, variables: Arrays) -> None:
        """Write a checkpoint, then delete the one before it.

        Args:
            variables: all variables of model and optimiser.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        last, best = _last_file(progress.epochs), _best_file(progress.best_epoch)
        _write_arrays(self.folder / last, variables)
        if progress.improved:
            _write_arrays(self.folder / best, progress.best_weights)
        state = {
            "epochs": progress.epochs,
            "best_epoch": progress.best_epoch,
            "history": progress.history,
            "identity": self.identity,
        }
        temporary = self.folder / f".{STATE_FILE}"
        temporary.write_text(json.dumps(state, indent=1))
        os.replace(temporary, self.folder / STATE_FILE)
        _remove_files(self.folder, keep={STATE_FILE, last, best})

    def _read_state(self) -> dict[str, Any] | None:
        path = self.folder / STATE_FILE
        if not path.exists():
            return None
        try:
            found: dict[str, Any] = json.loads(path.read_text())
            if not set(found) >= _STATE_FIELDS:
                raise ValueError("it is not the state of a training")
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(f"{path} is damaged ({error}); {self._advice()}") from error
        return found

    def _check_identity(self, found: Mapping[str, Any], names: Iterable[str]) -> None:
        asked = json.loads(json.dumps(self.identity))  # tuples become lists there
        if differing := _differences(_without_removed(found["identity"]), asked, names):
            raise UsageError(
                f"{self.folder} holds a training stopped after epoch {found['epochs']} that was "
                f"started with other options ({', '.join(differing)}): give the "
                f"same options to resume it, or {self._advice()}"
            )

    def _advice(self) -> str:
        return f"remove {self.folder} to start again"


def checkpoint_folder(artifact: Path) -> Path:
    """The folder of a training's checkpoints, next to the artifact that it will write."""
    return artifact.with_name(f"{artifact.name}.training")


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints in a folder, and the folder unless it holds other files."""
    with suppress(OSError):
        _remove_files(folder)
        folder.rmdir()


def _remove_files(folder: Path, keep: Collection[str] = ()) -> None:
    """Remove the files that training writes, and no others."""
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in keep:
            path.unlink()


def _other_files(folder: Path) -> list[str]:
    """Names in the folder that training does not write; its own if it is not a folder."""
    if not os.path.lexists(folder):
        return []
    if not folder.is_dir():
        return [folder.name]
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    return [e.name for e in entries if not (_OURS.fullmatch(e.name) and e.is_file())]


def _without_removed(identity: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out the flags that were removed, in a checkpoint of a release that had them, unless
    they were used."""
    if identity.get("mix") != "none":
        return identity
    return {name: value for name, value in identity.items() if name not in ("mix", "mix_alpha")}


def _differences(
    before: Mapping[str, Any], now: Mapping[str, Any], names: Iterable[str]
) -> list[str]:
    """The fields that differ, each with both values."""
    return [
        f"{name} {_brief(before.get(name))}, now {_brief(now.get(name))}"
        for name in dict.fromkeys(names)
        if before.get(name) != now.get(name)
    ]


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:28]}...{text[-28:]}"


def _last_file(epoch: int) -> str:
    return f"last-{epoch:05d}.npz"


def _best_file(epoch: int) -> str:
    return f"best-{epoch:05d}.npz"


def _write_arrays(path: Path, arrays: Sequence[npt.NDArray[Any]]) -> None:
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        np.savez(file, *arrays)
    os.replace(temporary, path)


def _read_arrays(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return [file[f"arr_{i}"] for i in range(len(file.files))]
