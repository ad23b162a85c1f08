"""The keys of a shell that stay decoded in memory, within bounds; the table holds them all."""

from typing import Final, Generic, TypeVar

from streams.stateful.loaded import Loaded

State = TypeVar("State")

LOADED_MAX: Final = 20_000
LOADED_BYTES_MAX: Final = 8_000_000
"""Of encoded states; decoded they take several times as much."""


class LoadedKeys(Generic[State]):
    """Drops the keys that were used least recently, when nothing of them is on its way."""

    def __init__(self, *, keys_max: int = LOADED_MAX, bytes_max: int = LOADED_BYTES_MAX) -> None:
        """Hold nothing yet."""
        self._keys_max = keys_max
        self._bytes_max = bytes_max
        self._keys: dict[bytes, Loaded[State]] = {}
        self._bytes = 0
        self._dropped: set[bytes] = set()

    def __contains__(self, key: object) -> bool:
        """Tell whether a key is held."""
        return key in self._keys

    def get(self, key: bytes) -> Loaded[State] | None:
        """Return a key that is held."""
        loaded = self._keys.pop(key, None)
        if loaded is not None:
            self._keys[key] = loaded
        return loaded

    def is_confirmed(self, key: bytes) -> bool:
        """Tell whether this process has published the outbox that the table still holds of a key.

        After a recovery nothing counts as published.
        """
        return key in self._dropped

    def add(self, loaded: Loaded[State]) -> None:
        """Hold a key, and drop others beyond the bounds."""
        self._keys[loaded.key] = loaded
        self._bytes += len(loaded.stored.state)
        if self._is_full(0):
            self._drop(loaded)

    def grow(self, size_bytes: int) -> None:
        """Note that the encoded state of a key that is held has grown."""
        self._bytes += size_bytes

    def forget(self, key: bytes) -> None:
        """Hold a key no longer, and know nothing of its outbox: it has left the table."""
        loaded = self._keys.pop(key, None)
        if loaded is not None:
            self._bytes -= len(loaded.stored.state)
        self._dropped.discard(key)

    def clear(self) -> None:
        """Hold nothing, and know nothing of what was published."""
        self._keys.clear()
        self._dropped.clear()
        self._bytes = 0

    def _drop(self, newest: Loaded[State]) -> None:
        gone: list[bytes] = []
        for key, loaded in self._keys.items():
            if not self._is_full(len(gone)):
                break
            if loaded is not newest and loaded.is_idle:
                gone.append(key)
                self._bytes -= len(loaded.stored.state)
        for key in gone:
            del self._keys[key]
        self._dropped.update(gone)

    def _is_full(self, dropping: int) -> bool:
        return len(self._keys) - dropping > self._keys_max or self._bytes > self._bytes_max
