"""The executors of models and tools, and those that stand for them in tests, pass one suite."""

from collections.abc import Sequence

from schemas.envelope import Envelope
from streams.effects.executor import Executor
from tests.simulation.provider import Provider, ProviderExecutor
from tests.streams.effects import FakeExecutor, World, requested
from tests.streams.executor_conformance import ExecutorConformance
from tests.streams.scene import Scene, model_call, tool_call


def tool_calls() -> list[Envelope]:
    """Return calls of tools that act, cost, do both, and do neither."""
    return [
        tool_call(reserved_tokens=tokens, idempotent=idempotent)
        for tokens in (0, 50)
        for idempotent in (True, False)
    ]


class TestModelExecutor(ExecutorConformance):
    def executor(self) -> Executor:
        return Scene().models

    def calls(self) -> Sequence[Envelope]:
        return [model_call()]


class TestToolExecutor(ExecutorConformance):
    def executor(self) -> Executor:
        return Scene().toolbox

    def calls(self) -> Sequence[Envelope]:
        return tool_calls()


class TestProviderExecutor(ExecutorConformance):
    def executor(self) -> Executor:
        async def wait() -> None:
            pass

        return ProviderExecutor(Provider(seed=1, moody=0.0), wait=wait, now_ms=lambda: 9_000)

    def calls(self) -> Sequence[Envelope]:
        return [model_call(), *tool_calls()]


class TestFakeExecutor(ExecutorConformance):
    def executor(self) -> Executor:
        return FakeExecutor(World())

    def calls(self) -> Sequence[Envelope]:
        return [requested(1)]
