"""The models that answer at this gateway by their own names."""

from collections.abc import Sequence
from typing import Final

from connectors.models.tokens import TokenCounter
from schemas.configuration import ChatModel
from streams.gateway.problems import Problem

LOCAL: Final = "local/"
"""Before the names of models for which the deterministic local model stands in."""


class ModelBook:
    """The configured models that answer here, by the names that clients use."""

    def __init__(self, models: Sequence[ChatModel], *, local: bool) -> None:
        """Take the configured models.

        Args:
            models: as models.toml has them.
            local: the deterministic local model answers for all of them; so that nobody takes its answers for
                theirs, their names begin with `local/`.
        """
        self._models = {(LOCAL if local else "") + model.name: model for model in models}
        self._local = local
        self.counter = TokenCounter({model.name: model.encoding for model in models})

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names, in the order of the configuration."""
        return tuple(self._models)

    def model(self, name: object) -> ChatModel:
        """Return the model of a name.

        Raises:
            Problem: there is none; the sentence names what to set.
        """
        found = self._models.get(name) if isinstance(name, str) else None
        if found is not None:
            return found
        told = str(name)[:100]
        if self._local and LOCAL + told in self._models:
            detail = (
                f"no provider is configured for {told!r}: set OPENAI_API_KEY or OPENAI_BASE_URL where the "
                f"workers start; until then the local model answers as {LOCAL + told!r}"
            )
        else:
            detail = (
                f"there is no model {told!r} here; GET /v1/models lists those that answer, and models.toml "
                "in CARTRITA_CONFIGURATION_DIRECTORY names them"
            )
        raise Problem(404, detail, code="model_not_found", param="model")
