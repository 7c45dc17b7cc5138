"""What is known of who asks: features that are stored, joined with signals of the moment."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .requests import Request
from .tables import opened

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray


_LARGEST = 3.4028234663852886e38
"""Of a float32: in place of what is beyond it a model would be given infinity."""


class Features(NamedTuple):
    """A request with its features: a vector of float32 of shape (d,), the stored ones before the live ones."""

    request_id: str
    feature_vec: NDArray[float32]
    request: Request


class UnknownEntity(LookupError):
    """Nothing is stored for the one who asks."""


class MissingSignal(LookupError):
    """A signal that the model wants is not in the request, or is too large for a float32."""


class FeatureStore(Protocol):
    """What the second stage reads."""

    @property
    def signals(self) -> Sequence[str]:
        """The names of the live signals that go behind the stored features, in order."""
        ...

    def stored(self, entity_id: str) -> Sequence[float] | Awaitable[Sequence[float]]:
        """The stored features, always equally many; UnknownEntity where there are none."""
        ...


class NoFeatures:
    """A store for models that read the request alone.

    >>> list(NoFeatures().stored("anybody"))
    []
    """

    signals: Sequence[str] = ()

    def stored(self, entity_id: str) -> Sequence[float]:
        """None at all."""
        return ()


class SQLiteFeatures:
    """Features in one table of one file.

    >>> import os
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     store = SQLiteFeatures(os.path.join(folder, "features.db"), signals=["clicks"])
    ...     store.put({"user 7": [0.5, 2.0], "user 8": [1.5, 0.0]})
    ...     store.stored("user 7"), len(store)
    ...     store.close()
    ((0.5, 2.0), 2)

    An entity that is not there is an error of its own, which names it.

    >>> SQLiteFeatures(":memory:").stored("user 9")
    Traceback (most recent call last):
    ...
    funcpipe_rag.serving.features.UnknownEntity: no features are stored for 'user 9'

    Class: external. A look-up is one read by key, some microseconds, and runs in between. Memory: SQLite's page
    cache. Errors: UnknownEntity; ValueError for rows of unequal length.
    """

    def __init__(self, path: str, *, signals: Iterable[str] = ()) -> None:
        self.signals: Sequence[str] = tuple(signals)
        self._connection = opened(
            path,
            "CREATE TABLE IF NOT EXISTS features (entity_id TEXT PRIMARY KEY, stored TEXT NOT NULL) WITHOUT ROWID",
        )

    def put(self, rows: Mapping[str, Sequence[float]]) -> None:
        """Store features, all or none of these rows; what was there for the same entity is replaced."""
        numbers = {entity: [float(one) for one in row] for entity, row in rows.items()}
        for entity, row in numbers.items():
            if not all(abs(one) <= _LARGEST for one in row):
                raise ValueError(
                    f"SQLiteFeatures: {entity[:60]!r} must have finite numbers, each for a float32, got {row}"
                )
        texts = [(entity, json.dumps(row)) for entity, row in numbers.items()]
        with self._connection:
            # Nobody else may store rows of another length between the look and the writing.
            self._connection.execute("BEGIN IMMEDIATE")
            self._refuse_unequal({len(row) for row in numbers.values()})
            self._connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?)", texts)

    def _refuse_unequal(self, lengths: set[int]) -> None:
        (known,) = self._connection.execute("SELECT max(json_array_length(stored)) FROM features").fetchone()
        if len(lengths | ({known} if known is not None else set())) > 1:
            raise ValueError(
                f"SQLiteFeatures: every entity has equally many features; got rows of {sorted(lengths)}"
                + (f", and {known} are stored" if known is not None else "")
            )

    def stored(self, entity_id: str) -> Sequence[float]:
        """The stored features of an entity."""
        row = self._connection.execute(
            "SELECT stored FROM features WHERE entity_id = ?", (entity_id,)
        ).fetchone()
        if row is None:
            raise UnknownEntity(f"no features are stored for {entity_id[:60]!r}")
        return tuple(json.loads(row[0]))

    def __len__(self) -> int:
        (many,) = self._connection.execute("SELECT count(*) FROM features").fetchone()
        return int(many)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def combined(request: Request, stored: Sequence[float], signals: Sequence[str]) -> Features:
    """The request's feature vector: what is stored, then the live signals in the store's order.

    >>> request = Request("r1", live_signals={"clicks": 3.0})
    >>> combined(request, (0.5, 2.0), ["clicks"]).feature_vec
    array([0.5, 2. , 3. ], dtype=float32)
    >>> combined(request, (), ["age"])
    Traceback (most recent call last):
    ...
    funcpipe_rag.serving.features.MissingSignal: live_signals has no 'age'; it has clicks

    Errors: MissingSignal, naming it and what there is, or the number that no float32 can be.
    """
    # Imported here, so that the pipeline's own modules need the standard library alone.
    from numpy import array, float32

    live = []
    for name in signals:
        if name not in request.live_signals:
            has = ", ".join(request.live_signals) or "none at all"
            raise MissingSignal(f"live_signals has no {name!r}; it has {has[:120]}")
        value = request.live_signals[name]
        if abs(value) > _LARGEST:
            raise MissingSignal(f"live_signals: {name!r} must be a number that fits a float32, got {value:g}")
        live.append(value)
    return Features(request.request_id, array([*stored, *live], dtype=float32), request)
