"""Check the types of the console's modules: `python ops/console/check_types.py TSC`.

TypeScript takes what is beside a module before what is elsewhere, and would check what was vendored, too. So
it looks at a copy, in which declarations (types/) stand in place of the vendored files.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CONSOLE = HERE.parents[1] / "streams" / "gateway" / "console"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="cartrita-types-") as name:
        copy = Path(name)
        shutil.copytree(CONSOLE / "app", copy / "app")
        shutil.copytree(HERE / "types", copy / "vendor")
        shutil.copy(HERE / "tsconfig.json", copy)
        return subprocess.run(
            [Path(sys.argv[1]).absolute(), "--project", str(copy)], cwd=copy, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
