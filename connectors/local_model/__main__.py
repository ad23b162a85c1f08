"""Runs the server until SIGTERM or SIGINT.

python -m connectors.local_model --port N --tiktoken-cache DIR
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from connectors.local_model.server import CHAT_MODELS, EMBEDDING_MODELS, LocalModelServer
from connectors.models.tokens import VocabularyMissing, prepare_vocabularies

CONTEXT_TOKENS_DEFAULT = 128_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; return 0 after a signal, 2 when the server cannot start."""
    options = _parser().parse_args(arguments)
    try:
        prepare_vocabularies(options.tiktoken_cache)
    except VocabularyMissing as error:
        sys.stderr.write(f"local model: {error}\n")
        return 2
    try:
        asyncio.run(_serve(options))
    except OSError as error:
        sys.stderr.write(f"local model: cannot listen on {options.host}:{options.port}: {error}\n")
        return 2
    return 0


async def _serve(options: argparse.Namespace) -> None:
    chat = dict(CHAT_MODELS) | dict.fromkeys(options.model, CONTEXT_TOKENS_DEFAULT)
    server = LocalModelServer(
        chat_models=chat,
        embedding_models=EMBEDDING_MODELS,
        control=options.control,
        latency_ms=options.latency_ms,
    )
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    port = await server.start(options.port, options.host)
    # The one line on standard output: whoever started the server with port 0 reads the port from it.
    sys.stdout.write(f"local model listens on http://{options.host}:{port}/v1\n")
    sys.stdout.flush()
    await stopped.wait()
    await server.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m connectors.local_model",
        description="A local deterministic server that speaks the OpenAI API. It is no language model.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--tiktoken-cache", type=Path, required=True, help="directory with the vocabularies")
    parser.add_argument("--model", action="append", default=[], help="another chat model to answer for")
    parser.add_argument("--latency-ms", type=int, default=0, help="wait so long before every answer")
    parser.add_argument("--control", action="store_true", help="serve /control/faults and /control/ledger")
    return parser


if __name__ == "__main__":
    sys.exit(main())
