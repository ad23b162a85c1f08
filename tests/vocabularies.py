"""The vocabularies of tokenizers, from the project's own cache."""

from pathlib import Path
from typing import Final

from connectors.embedded.artifacts import ArtifactStore
from connectors.models.tokens import prepare_vocabularies

PROJECT_DIRECTORY: Final = Path(__file__).parents[1]


def prepared_vocabularies() -> Path:
    """Prepare them, fetched first where they are missing, and return their directory."""
    store = ArtifactStore(PROJECT_DIRECTORY / ".cartrita" / "artifacts")
    directory = store.artifacts.tiktoken_cache_directory
    if not directory.is_dir():
        directory = store.ensure().tiktoken_cache_directory
    prepare_vocabularies(directory)
    return directory
