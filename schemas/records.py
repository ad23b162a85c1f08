"""Frozen dataclasses made and changed in a fraction of the time that the standard library takes for it.

Deciders change their state all the time, and a task has more than thirty fields; dataclasses.replace looks
each of them up by name. The constructor of a frozen dataclass then sets each through object.__setattr__; that
takes four times as long as setting a field of a class that is not frozen, its twin (schemas.plain).
"""

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Final, TypeVar, cast

from schemas.plain import bind, twin_of

T = TypeVar("T")

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


def hastened(cls: type[T]) -> type[T]:
    """Give a plain frozen dataclass with slots a constructor that does the same in half the time."""
    names: dict[str, object] = {"_become": object.__setattr__, "_twin": _twin(cls), "_cls": cls}
    arguments = []
    for field in fields(cls):  # type: ignore[arg-type]  # a dataclass, by what this asks for
        if not field.kw_only or field.default_factory is not MISSING:
            raise TypeError(f"{cls.__name__}.{field.name} takes more than a keyword and a plain default")
        has_default = field.default is not MISSING
        arguments.append(f"{field.name}={bind(names, field.default)}" if has_default else field.name)
    lines = [
        f"def __init__(self, *, {', '.join(arguments)}):",
        " _become(self, '__class__', _twin)",
        *(f" self.{field.name} = {field.name}" for field in fields(cls)),  # type: ignore[arg-type]  # as above
        " self.__class__ = _cls",
    ]
    exec("\n".join(lines), names)  # noqa: S102  # as in `_copier`
    setattr(cls, "__init__", names["__init__"])  # noqa: B010  # checkers know the constructor by the fields
    return cls


def _twin(cls: type) -> type:
    twin = twin_of(cls)
    if twin is None:
        raise TypeError(f"{cls.__name__} is no plain frozen dataclass with slots")
    return twin


def _copier(cls: type) -> Callable[[object], object]:
    """Return what copies a record of the class into one that may still be changed."""
    names: dict[str, object] = {"_new": object.__new__, "_twin": _twin(cls)}
    lines = [
        "def copy(o):",
        " n = _new(_twin)",
        *(f" n.{field.name} = o.{field.name}" for field in fields(cls)),
        " return n",
    ]
    exec("\n".join(lines), names)  # noqa: S102  # names of our own dataclasses' fields, as in schemas.plain
    return cast("Callable[[object], object]", names["copy"])


_COPIERS: Final[dict[type, Callable[[object], object]]] = {}
