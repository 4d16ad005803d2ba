"""What this machine remembers of layers: which bytes gave which digest, and which repositories were seen to hold it.

A memory only saves work. What it says is asked of the registry before it is believed, and a memory that cannot be read
or written remembers nothing.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

_MOST = 20_000  # rows a table; a large model has some 200 layers
_BUSY = 1.0  # seconds to wait for another push that writes
_TABLES = """
create table if not exists layers (key text primary key, digest text, size integer, sha256 text, learnt real);
create table if not exists places (registry text, digest text, repository text, seen real,
                                   primary key (registry, digest, repository));
"""


@dataclass(frozen=True, slots=True)
class KnownLayer:
    """A layer that was made before: its digest, its size in bytes, and the sha256 in hex of the files in it by path."""

    digest: str
    size: int
    sha256: Mapping[str, str]


class Memory:
    """The file `layers.sqlite`, readable by its owner alone. Safe for threads and for several pushes at once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "layers.sqlite"
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None
        self._works = True

    def recall(self, key: str) -> KnownLayer | None:
        """Return the layer that was made of what `key` stands for."""
        for digest, size, sha256 in self._ask("select digest, size, sha256 from layers where key = ?", key):
            try:
                return KnownLayer(str(digest), int(str(size)), dict(json.loads(str(sha256))))
            except (TypeError, ValueError):
                return None
        return None

    def learn(self, key: str, layer: KnownLayer) -> None:
        """Remember that what `key` stands for gave this layer."""
        row = (key, layer.digest, layer.size, json.dumps(dict(layer.sha256)), time.time())
        self._ask("insert or replace into layers values (?, ?, ?, ?, ?)", *row)

    def places(self, registry: str, digest: str) -> tuple[str, ...]:
        """Return the repositories of a registry that held the blob when they were last asked, the latest first."""
        query = "select repository from places where registry = ? and digest = ? order by seen desc, repository limit 8"
        return tuple(str(repository) for (repository,) in self._ask(query, registry, digest))

    def saw(self, registry: str, digest: str, repository: str) -> None:
        """Remember that a repository holds the blob."""
        self._ask("insert or replace into places values (?, ?, ?, ?)", registry, digest, repository, time.time())

    def close(self) -> None:
        """Let the file go, its oldest rows beyond the bound dropped."""
        if self._opened is not None:
            for table, age in (("layers", "learnt"), ("places", "seen")):
                old = f"select rowid from {table} order by {age} desc limit -1 offset {_MOST}"  # noqa: S608  constants
                self._ask(f"delete from {table} where rowid in ({old})")  # noqa: S608
            self._opened.close()
            self._opened = None

    def _ask(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with self._lock:
            for _ in range(2 if self._works else 0):
                try:
                    with closing(self._connection().execute(query, values)) as cursor:
                        return cursor.fetchall()
                except sqlite3.OperationalError:  # read-only, full, busy
                    break
                except sqlite3.DatabaseError:  # damaged: begin a new one
                    self._forget()
                except OSError:
                    break
            self._works = False
            return []

    def _forget(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None
        with suppress(OSError):
            self._path.unlink()

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            # Each statement is a transaction of its own: a push that is killed keeps what it has learnt.
            self._opened = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
            self._opened.execute("pragma synchronous = off")  # a power cut may cost the memory, and nothing else
            self._opened.executescript(_TABLES)
        return self._opened


def cache_folder() -> Path:
    """Return where caches of this program go (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "kubectl-modelcar")
