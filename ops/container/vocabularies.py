"""Puts tiktoken's vocabularies into the folder named as the argument, for the image's build.

They come from the locked Maven artifact, held to its hash and to tiktoken's own, so that nothing is
downloaded when the image runs.
"""

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from connectors.embedded.artifacts import ArtifactStore
from connectors.embedded.lock import read_lock


def main(target: Path) -> None:
    """Download, check, unpack; what else the embedded stack has is left out."""
    with tempfile.TemporaryDirectory() as scratch:
        store = ArtifactStore(Path(scratch), lock=replace(read_lock(), kafka=()))
        # The store takes a registry that is there for done; the image runs none.
        store.artifacts.registry_directory.mkdir(parents=True)
        shutil.copytree(store.ensure().tiktoken_cache_directory, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
