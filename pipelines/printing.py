"""What commands print: it never decides how a command ends, unless the command makes nothing else.

The reader of a pipe may go away, a disk that a log is written to may be full, and a scheduler may
close standard output: none of them makes a night fail.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO

from pipelines.errors import StorageError


class Tolerant(io.TextIOBase):
    """A text stream that swallows what cannot be written.

    Args:
        stream: where the text goes; None if it is closed.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write if possible; returns the number of characters, as if all were written."""
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush if possible."""
        self._try(lambda stream: stream.flush())

    def _try(self, operation: Any) -> None:
        try:
            if self.stream is not None:
                operation(self.stream)
        except (OSError, ValueError):  # ValueError: it was closed
            pass

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.stream is not None and not self.stream.closed and self.stream.isatty()

    def fileno(self) -> int:
        """The file descriptor; raises if there is none."""
        if self.stream is None:
            raise io.UnsupportedOperation("fileno")
        return self.stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's encoding."""
        return (self.stream.encoding if self.stream else None) or "utf-8"

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """What happens to characters that the encoding does not have."""
        return self.stream.errors if self.stream else None

    @property
    def buffer(self) -> Any:
        """The stream of bytes below."""
        return self.stream.buffer if self.stream else io.BytesIO()


def tolerate_broken_output() -> None:
    """Let no error of standard output or standard error reach the command, from now on."""
    for descriptor in (0, 1, 2):
        _keep_open(descriptor)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, Tolerant):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
            setattr(sys, name, Tolerant(stream))


def write_answer(text: str) -> None:
    """Write what a command was started for to standard output, in UTF-8, with the line ends of the
    text. If its reader has closed the pipe (`| head`), that is all it wanted.

    Raises:
        StorageError: it cannot be written.
    """
    stream = sys.stdout.stream if isinstance(sys.stdout, Tolerant) else sys.stdout
    if stream is None or stream.closed:
        raise StorageError("cannot write the answer to standard output: it is closed")
    try:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", newline="", errors="backslashreplace")
        stream.write(text)
        stream.flush()
    except BrokenPipeError:  # Python would report that again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError) as error:
        detail = getattr(error, "strerror", None) or str(error)
        raise StorageError(f"cannot write the answer to standard output: {detail}") from error


def _keep_open(descriptor: int) -> None:
    """Open the null device as a closed descriptor: the next file that is opened would get this
    number, and libraries that print would write into it."""
    try:
        os.fstat(descriptor)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != descriptor:
            os.dup2(null, descriptor)
            os.close(null)
