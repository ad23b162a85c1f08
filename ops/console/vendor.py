"""Fetch the console's libraries from npm, and record what they are: `python ops/console/vendor.py`.

What it writes is committed, so that neither an installation nor a browser fetches anything. Imports by bare
names become paths, for the page's policy allows no import map; nothing else of a module is changed.
"""

import hashlib
import json
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TARGET: Final = Path(__file__).parents[2] / "streams" / "gateway" / "console" / "vendor"
LICENCES: Final = frozenset({"MIT", "Apache-2.0"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """One module of a package."""

    package: str
    version: str
    member: str
    """Its path within the package."""
    name: str
    """Its name here."""


WANTED: Final = (
    Wanted("preact", "11.2.0", "dist/preact.mjs", "preact.js"),
    Wanted("preact", "11.2.0", "hooks/dist/hooks.mjs", "hooks.js"),
    Wanted("htm", "3.1.1", "dist/htm.mjs", "htm.js"),
    Wanted("@preact/signals-core", "1.14.5", "dist/signals-core.mjs", "signals-core.js"),
)
PATHS: Final = {"preact": "./preact.js"}
"""Where the imports by bare names lead."""
_BARE: Final = re.compile(r'(\bfrom|\bimport)"([^"./][^"]*)"')
_MAP: Final = re.compile(r"\s*//# sourceMappingURL=\S+\s*$")


def vendored(source: str) -> str:
    """Return a module as it is kept: its imports lead to the files beside it, and no source map is named."""
    return _BARE.sub(lambda found: f'{found[1]}"{PATHS[found[2]]}"', _MAP.sub("", source)) + "\n"


def main() -> None:
    """Write every module, the licence of each package, and the record of both."""
    record = []
    with tempfile.TemporaryDirectory() as scratch:
        for wanted in WANTED:
            package = _package(wanted, Path(scratch))
            about = json.loads((package / "package.json").read_text(encoding="utf-8"))
            if about["license"] not in LICENCES:
                raise SystemExit(f"{wanted.package} is under {about['license']}")
            licence = f"LICENSE-{wanted.package.removeprefix('@').replace('/', '-')}.txt"
            (TARGET / licence).write_bytes((package / "LICENSE").read_bytes())
            source = (package / wanted.member).read_bytes()
            kept = vendored(source.decode()).encode()
            (TARGET / wanted.name).write_bytes(kept)
            record.append(
                {
                    "file": wanted.name,
                    "package": wanted.package,
                    "version": wanted.version,
                    "member": wanted.member,
                    "licence": about["license"],
                    "licence_file": licence,
                    "sha256_of_member": hashlib.sha256(source).hexdigest(),
                    "sha256": hashlib.sha256(kept).hexdigest(),
                }
            )
    (TARGET / "manifest.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _package(wanted: Wanted, scratch: Path) -> Path:
    """Return the folder of a package, fetched by npm, which checks its integrity."""
    folder = scratch / f"{wanted.package.replace('/', '-')}-{wanted.version}"
    if not folder.exists():
        folder.mkdir()
        command = ["npm", "pack", "--silent", "--ignore-scripts", f"{wanted.package}@{wanted.version}"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = folder.glob("*.tgz")
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
    return folder / "package"


if __name__ == "__main__":
    main()
