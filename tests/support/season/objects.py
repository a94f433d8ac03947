"""A bucket whose every operation has a number, so that a crash is a prefix of its journal.

A process that dies after its k-th operation leaves what the first k operations made. So a command
runs once, and `crash` makes the bucket that its death would have left: no process has to die, and
no moment is left out.
"""

import hashlib
import threading
import time
from dataclasses import dataclass, field
from typing import NamedTuple

AGED_S = 3 * 86_400
"""How much older `age` makes every object."""

READS = ("GET", "HEAD")


class Object(NamedTuple):
    """What is stored under a key; the etag is by the bytes, as S3's is."""

    data: bytes
    written_at: float
    etag: str


Change = dict[str, Object | None]
"""What an operation writes: key to object, None for one that it deletes."""


class Operation(NamedTuple):
    """A request: who sent it, what for, and what it changed."""

    client: str
    method: str
    key: str
    change: Change


@dataclass
class Bucket:
    """Objects by key, and the journal of all operations since `begin`.

    Attributes:
        fault: (number of a request that writes, what happens to its answer: `lost` or `failed`).
        held: clients whose commits wait until they are released.
        waiting: the commit that each of them waits with.
        writes: how many requests to write came since `begin`.
        ahead_s: by how much the server's clock is wrong.
    """

    objects: dict[str, Object] = field(default_factory=dict)
    journal: list[Operation] = field(default_factory=list)
    saved: dict[str, dict[str, Object]] = field(default_factory=dict)
    recorded: dict[str, tuple[dict[str, Object], list[Operation]]] = field(default_factory=dict)
    fault: tuple[int, str] | None = None
    held: set[str] = field(default_factory=set)
    waiting: dict[str, str] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    writes: int = 0
    ahead_s: float = 0.0

    def __post_init__(self) -> None:
        self.turn = threading.Condition()
        self._start: dict[str, Object] = {}

    def begin(self) -> None:
        """The next operation is number 1."""
        self._start, self.journal = dict(self.objects), []
        self.fault, self.writes = None, 0

    def record(self, name: str) -> None:
        """Remember the journal, for `crash`."""
        self.recorded[name] = self._start, list(self.journal)

    def crash(self, name: str, operations: int) -> None:
        """Only the first operations of a recorded journal have happened."""
        start, journal = self.recorded[name]
        self.objects = dict(start)
        for done in journal[:operations]:
            self._apply(done.change)
        self.begin()

    def save(self, name: str) -> None:
        """Remember what is there."""
        self.saved[name] = dict(self.objects)

    def load(self, name: str) -> None:
        """Only what was remembered is there, and the journal is empty."""
        self.objects = dict(self.saved[name])
        self.begin()

    def etag_of(self, key: str) -> str:
        """The etag of an object."""
        return self.objects[key].etag

    def empty(self) -> None:
        """Nothing is there, and the clock is right."""
        self.objects, self.ahead_s = {}, 0.0
        self.begin()

    def age(self) -> None:
        """Every object was written days ago."""
        for key, found in self.objects.items():
            self.objects[key] = found._replace(written_at=found.written_at - AGED_S)
        self.begin()

    def perform(self, client: str, method: str, key: str, change: Change) -> str:
        """Number an operation and apply it; returns what happens to its answer, "" for nothing.
        Deleting several objects is an operation for each."""
        self._apply(change)
        for part in [{name: new} for name, new in change.items()] or [{}]:
            self.journal.append(Operation(client, method, next(iter(part), key), part))
        if method in READS:
            return ""
        self.writes += 1
        number, fate = self.fault or (0, "")
        return fate if self.writes == number else ""

    def new(self, data: bytes) -> Object:
        """What is written now."""
        return Object(data, time.time() + self.ahead_s, hashlib.md5(data).hexdigest())

    def wait_turn(self, client: str, key: str) -> None:
        """Hold a commit until its client is released."""
        if client not in self.held or not is_commit(key):
            return
        self.waiting[client] = key
        self.turn.notify_all()
        self.turn.wait_for(lambda: client in self.released or client not in self.held)
        self.released.discard(client)
        del self.waiting[client]

    def _apply(self, change: Change) -> None:
        for key, new in change.items():
            if new is None:
                self.objects.pop(key, None)
            else:
                self.objects[key] = new


def is_commit(key: str) -> bool:
    """Whether a key is that of an entry in a table's log."""
    return "/_delta_log/" in key and key.endswith(".json")
