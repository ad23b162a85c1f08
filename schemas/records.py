"""`replace` for frozen dataclasses: what dataclasses.replace does, in a fifth of the time.

Deciders change their state by it all the time, and a task has more than thirty fields. The standard library
looks each of them up by name, and its constructor sets each through object.__setattr__.
"""

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Final, cast

from schemas.plain import twin_of

if TYPE_CHECKING:
    # Checkers know the names and types of its arguments by this very function.
    from dataclasses import replace as replace  # told again on purpose
else:

    def replace(record: object, /, **changes: object) -> object:
        """Return a copy of a frozen dataclass with slots, in which some fields have other values.

        Raises:
            AttributeError: there is no such field.
        """
        cls = record.__class__
        copy = _COPIERS.get(cls)
        if copy is None:
            copy = _COPIERS[cls] = _copier(cls)
        copied = copy(record)
        for name, value in changes.items():
            setattr(copied, name, value)
        copied.__class__ = cls
        return copied


def _copier(cls: type) -> Callable[[object], object]:
    """Return what copies a record of the class into one that may still be changed."""
    twin = twin_of(cls)
    if twin is None:
        raise TypeError(f"{cls.__name__} is no plain frozen dataclass with slots")
    names: dict[str, object] = {"_new": object.__new__, "_twin": twin}
    lines = [
        "def copy(o):",
        " n = _new(_twin)",
        *(f" n.{field.name} = o.{field.name}" for field in fields(cls)),
        " return n",
    ]
    exec("\n".join(lines), names)  # noqa: S102  # names of our own dataclasses' fields, as in schemas.plain
    return cast("Callable[[object], object]", names["copy"])


_COPIERS: Final[dict[type, Callable[[object], object]]] = {}
