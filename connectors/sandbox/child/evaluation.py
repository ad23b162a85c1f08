"""Runs the foreign code and puts what came of it into one JSON document.

Shared by the native runner and by the guest in WebAssembly, which gets this module as source text: Python
3.11 and 3.12, standard library only. Everything it reports is only what the foreign code lets it report:
it runs in the same process, so the parent trusts nothing here and checks the document again.
"""

from __future__ import annotations

import _ast
import math
import os
import sys
from _frozen_importlib_external import PathFinder, spec_from_file_location
from _json import encode_basestring_ascii

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType

FILE_NAME = "<code>"
VALUE_BYTES_MAX = 48 * 1024
REPR_CHARACTERS_MAX = 4 * 1024
TRACEBACK_CHARACTERS_MAX = 8 * 1024
DEPTH_MAX = 24
INTEGER_MAX = 2**63


def evaluate(code: str, exit_code_max: int = 255) -> tuple[bytes, int]:
    """Run `code` as a module named __main__; the value is that of its last line, if that is an expression.

    Returns:
        A JSON object: value, value_kind ("none", "json" or "repr"), error (null, or type, message and
        traceback) and exit_code, at most 64 KiB; and that exit code, with which the process must end.
    """
    _show_in_tracebacks(code)
    main = type(sys)("__main__")
    vars(main)["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    document: dict[str, object] = {"value": None, "value_kind": "none", "error": None, "exit_code": 0}
    exit_code = 0
    try:
        value = _run(code, vars(main))
        document["value"], document["value_kind"] = _portable(value)
    except SystemExit as stop:
        exit_code = min(_exit_code(stop), exit_code_max)
    except BaseException as error:  # foreign code raises what it likes, KeyboardInterrupt included
        document["error"], exit_code = _describe(error), 1
    document["exit_code"] = exit_code
    return _encode(document), exit_code


def json_text(value: object) -> str:
    """Return `value`, made of plain types, as JSON in ASCII: what json.dumps says, without importing it.

    Raises:
        TypeError: something in it is none of None, bool, int, float, str, list, tuple and dict.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join([json_text(item) for item in value])}]"
    if isinstance(value, dict):
        members = [f"{encode_basestring_ascii(name)}: {json_text(item)}" for name, item in value.items()]
        return f"{{{', '.join(members)}}}"
    raise TypeError(type(value).__name__)


def offer_packages(places: Mapping[str, str]) -> None:
    """Let the foreign code import the packages at `places` (name to path), and nothing beside them."""

    class ApprovedPackages:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> object:  # noqa: ARG004
            place = places.get(name)
            if place is None:
                return None
            if not os.path.isdir(place):
                return spec_from_file_location(name, place)
            return spec_from_file_location(name, f"{place}/__init__.py", submodule_search_locations=[place])

    if places:
        # Before whatever looks at paths, where a file of the code's own could take a package's name.
        place = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else len(sys.meta_path)
        sys.meta_path.insert(place, ApprovedPackages)  # type: ignore[arg-type]  # a finder needs find_spec alone


def _show_in_tracebacks(code: str) -> None:
    """Give linecache, which finds the lines of tracebacks, the text as soon as something imports it."""
    entry = (len(code), None, code.splitlines(keepends=True), FILE_NAME)

    class SourceKnown:
        def __init__(self, loader: Loader) -> None:
            self._loader = loader

        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG004
            spec = PathFinder.find_spec(name) if name == "linecache" else None
            if spec is not None and spec.loader is not None:
                spec.loader = SourceKnown(spec.loader)  # type: ignore[assignment]  # all that importing calls
            return spec

        def create_module(self, spec: ModuleSpec) -> ModuleType | None:
            return self._loader.create_module(spec)

        def exec_module(self, module: ModuleType) -> None:
            self._loader.exec_module(module)
            module.cache[FILE_NAME] = entry

    if "linecache" in sys.modules:
        sys.modules["linecache"].cache[FILE_NAME] = entry
    else:
        sys.meta_path.insert(0, SourceKnown)


def _run(code: str, namespace: dict[str, object]) -> object:
    # Without dont_inherit the foreign code would get this module's own `from __future__` import.
    tree = compile(code, FILE_NAME, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)
    assert isinstance(tree, _ast.Module)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], _ast.Expr) else None
    exec(compile(tree, FILE_NAME, "exec", dont_inherit=True), namespace)  # noqa: S102  the purpose
    if not isinstance(last, _ast.Expr):
        return None
    return eval(compile(_ast.Expression(last.value), FILE_NAME, "eval", dont_inherit=True), namespace)  # noqa: S307  as above


def _exit_code(stop: SystemExit) -> int:
    code = stop.code
    if code is None:
        return 0
    if type(code) is int:
        return code & 0xFF
    print(_text(code), file=sys.stderr)  # noqa: T201  what the interpreter does with sys.exit("message")
    return 1


def _portable(value: object) -> tuple[object, str]:
    """Return the value itself where JSON holds it exactly, and otherwise its repr, cut."""
    if value is None:
        return None, "none"
    try:
        plain = _plain(value, 0)
        if len(json_text(plain)) <= VALUE_BYTES_MAX:
            return plain, "json"
    except (TypeError, ValueError, RecursionError):
        pass
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__}: repr failed with {type(error).__name__}>"
    return str(text)[:REPR_CHARACTERS_MAX], "repr"


def _plain(value: object, depth: int) -> object:
    # Exact types only: a subclass may lie in every method that encoding would call.
    kind = type(value)
    if depth > DEPTH_MAX:
        raise ValueError("nested too deeply")
    if kind is bool or value is None:
        return value
    if kind is str:
        assert isinstance(value, str)
        value.encode()
        return value
    if kind is int:
        assert isinstance(value, int)
        if not -INTEGER_MAX <= value < INTEGER_MAX:
            raise ValueError("an integer beyond 64 bits")
        return value
    if kind is float:
        assert isinstance(value, float)
        if not math.isfinite(value):
            raise ValueError("not a finite number")
        return value
    if kind is list or kind is tuple:
        assert isinstance(value, (list, tuple))
        return [_plain(item, depth + 1) for item in value]
    if kind is dict:
        assert isinstance(value, dict)
        if any(type(key) is not str or not key.isprintable() for key in value):
            raise TypeError("keys that are no text, or that cleaning would make into others")
        return {_plain(key, depth): _plain(item, depth + 1) for key, item in value.items()}
    raise TypeError("no JSON type")


def _describe(error: BaseException) -> dict[str, str]:
    shown = error.__traceback__
    while shown is not None and shown.tb_frame.f_code.co_filename != FILE_NAME:
        shown = shown.tb_next
    try:
        import traceback

        text = "".join(traceback.format_exception(type(error), error, shown))
    except Exception as failure:
        text = f"<no traceback: {type(failure).__name__}>"
    if len(text) > TRACEBACK_CHARACTERS_MAX:
        half = TRACEBACK_CHARACTERS_MAX // 2
        text = f"{text[:half]}\n[cut]\n{text[-half:]}"
    return {"type": type(error).__name__[:200], "message": _text(error)[:2000], "traceback": text}


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as failure:
        return f"<unprintable: {type(failure).__name__}>"


def _encode(document: dict[str, object]) -> bytes:
    error = document["error"]
    if isinstance(error, dict):
        # Escaping may make a character six times as long, and the whole document has a bound.
        for name, count_max in (("message", 500), ("traceback", 2000)):
            if len(json_text(error)) > VALUE_BYTES_MAX:
                error[name] = error[name][:count_max]
    return json_text(document).encode("ascii", "replace") + b"\n"
