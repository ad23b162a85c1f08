"""The models that answer at this gateway by their own names."""

from typing import Final

from connectors.models.tokens import TokenCounter
from schemas.configuration import ChatModel, EmbeddingModel, Models
from streams.gateway.problems import Problem

LOCAL: Final = "local/"
"""Before the names of models for which the deterministic local model stands in."""


class ModelBook:
    """The configured models that answer here, by the names that clients use."""

    def __init__(self, models: Models, *, local: bool, local_embedding: bool) -> None:
        """Take the configured models.

        Args:
            models: as models.toml has them.
            local: the deterministic local model answers for all chat models; so that nobody takes its answers
                for theirs, their names begin with `local/`.
            local_embedding: likewise for the embedding model.
        """
        self._models = {(LOCAL if local else "") + model.name: model for model in models.chat}
        self._local = local
        self._embedding = models.embedding
        self._local_embedding = local_embedding
        self.counter = TokenCounter({model.name: model.encoding for model in models.chat})
        self.embedding_counter = TokenCounter({models.embedding.name: models.embedding.encoding})

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names, in the order of the configuration."""
        embedding = self._embedding_name
        return (*self._models, *((embedding,) if embedding and embedding not in self._models else ()))

    def describe(self, name: object) -> None:
        """See that there is a model of that name, of whatever kind.

        Raises:
            Problem: there is none; the sentence names what to set.
        """
        if not name or name != self._embedding_name:
            self.model(name)

    def model(self, name: object) -> ChatModel:
        """Return the chat model of a name.

        Raises:
            Problem: there is none; the sentence names what to set.
        """
        found = self._models.get(name) if isinstance(name, str) else None
        if found is not None:
            return found
        if name and name == self._embedding_name:
            raise _absent(f"{name!r} makes vectors, by POST /v1/embeddings, and does not chat")
        raise self._unknown(name, self._local and LOCAL + str(name) in self._models, "OPENAI_BASE_URL")

    def embedding(self, name: object) -> EmbeddingModel:
        """Return the embedding model of a name.

        Raises:
            Problem: there is none; the sentence names what to set.
        """
        known = self._embedding_name
        if not known:
            raise _absent(
                "no model here makes vectors: name one as [embedding] in models.toml in "
                "CARTRITA_CONFIGURATION_DIRECTORY"
            )
        if name == known:
            return self._embedding
        if isinstance(name, str) and name in self._models:
            raise _absent(f"{name!r} makes no vectors; {known!r} does")
        is_local = self._local_embedding and LOCAL + str(name) == known
        raise self._unknown(name, is_local, "CARTRITA_EMBEDDING_BASE_URL")

    @property
    def _embedding_name(self) -> str:
        name = self._embedding.name
        return LOCAL + name if name and self._local_embedding else name

    def _unknown(self, name: object, is_local: bool, setting: str) -> Problem:
        told = str(name)[:100]
        if is_local:
            return _absent(
                f"no provider is configured for {told!r}: set OPENAI_API_KEY or {setting} where the "
                f"workers start; until then the local model answers as {LOCAL + told!r}"
            )
        return _absent(
            f"there is no model {told!r} here; GET /v1/models lists those that answer, and models.toml "
            "in CARTRITA_CONFIGURATION_DIRECTORY names them"
        )


def _absent(detail: str) -> Problem:
    return Problem(404, detail, code="model_not_found", param="model")
