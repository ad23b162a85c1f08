"""Functions compiled from source text, for classes and tables whose fields the program knows only as it runs.

The source is made of the names and types of our own fields and columns alone: no foreign text reaches it.
"""

from functools import cache
from types import CodeType


def compiled(source: str, names: dict[str, object]) -> object:
    """Return the function that `source` defines, which may use `names`."""
    exec(_code(source), names)  # noqa: S102  # what the module says of the source
    return names[source.removeprefix("def ").partition("(")[0]]


def bind(names: dict[str, object], value: object) -> str:
    """Give a value a name that source may use, and return the name."""
    name = f"_{len(names)}"
    names[name] = value
    return name


@cache
def _code(source: str) -> CodeType:
    # An event's is the same for all topics: only what its names stand for differs.
    return compile(source, "<schemas.compiling>", "exec")
