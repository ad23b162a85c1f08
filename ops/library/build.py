"""Makes the package `cartrita` of the wheel: one name for what others import; see docs/library.md.

It is made when a wheel is built, and is not a package of the repository. It holds names alone, of the
project's own objects.
"""

import ast
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_HEADER = '"""The events of all topics, and the envelope in which each travels; see docs/events.md."""\n\n'


class LibraryHook(BuildHookInterface):  # type: ignore[type-arg]  # of a wheel's configuration, which is not used
    """Adds the package to a wheel; hatchling finds this class by itself."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the package's modules, and have them included; an editable installation has none."""
        if version == "editable":
            return
        root = Path(self.root)
        self._made = Path(tempfile.mkdtemp(prefix="cartrita-library-"))
        events = self._made / "events.py"
        events.write_text(events_module(root / "schemas"), encoding="utf-8")
        here = root / "ops" / "library"
        build_data["force_include"] |= {
            str(here / "names.py"): "cartrita/__init__.py",
            str(root / "schemas" / "py.typed"): "cartrita/py.typed",
            str(events): "cartrita/events.py",
        }

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was written."""
        if version != "editable":
            shutil.rmtree(self._made)


def events_module(schemas: Path) -> str:
    """Return a module that names the envelope and each class of the modules in `schemas`/events.

    Their text is read and never run: at a build none of the project's dependencies need be there.
    """
    modules = [("schemas.envelope", ["Envelope"])]
    for path in sorted((schemas / "events").glob("*.py")):
        parsed = ast.parse(path.read_text(encoding="utf-8"))
        classes = [node.name for node in parsed.body if isinstance(node, ast.ClassDef)]
        public = sorted(name for name in classes if not name.startswith("_"))
        if public:
            modules.append((f"schemas.events.{path.stem}", public))
    imports = [f"from {module} import {', '.join(names)}\n" for module, names in modules]
    listed = [f'    "{name}",\n' for name in sorted(name for _, names in modules for name in names)]
    return _HEADER + "".join(imports) + "\n__all__ = [\n" + "".join(listed) + "]\n"
