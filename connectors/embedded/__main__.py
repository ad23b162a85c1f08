"""`python -m connectors.embedded up|down|status|lock`: the embedded stack by itself, for development."""

import argparse
import sys
from pathlib import Path

from connectors.embedded.errors import EmbeddedError
from connectors.embedded.stack import Stack


class Printed:
    """Progress as plain lines on standard error; of a download only its start and its end."""

    def downloaded(self, name: str, bytes_done: int, bytes_total: int) -> None:
        """Print the end of a download."""
        if bytes_done >= bytes_total:
            sys.stderr.write(f"artifacts: {name}, {bytes_total / 1e6:.1f} MB\n")

    def stage(self, name: str, text: str) -> None:
        """Print it."""
        sys.stderr.write(f"{name}: {text}\n")


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code, 1 when the stack failed."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "lock":
            _relock()
        else:
            _command(options.command, Stack(options.directory, artifacts=options.artifacts))
    except EmbeddedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _command(command: str, stack: Stack) -> None:
    if command == "up":
        endpoints = stack.start(Printed())
        sys.stdout.write(
            f"kafka_bootstrap={endpoints.kafka_bootstrap}\n"
            f"registry_url={endpoints.registry_url}\n"
            f"postgres_dsn={endpoints.postgres_dsn}\n"
            f"tiktoken_cache_dir={endpoints.tiktoken_cache_directory}\n"
        )
    elif command == "down":
        stack.stop(Printed())
    else:
        for service in stack.status():
            state = f"pid {service.pid}" if service.running else "stopped"
            sys.stdout.write(f"{service.name}\t{state}\t{service.address}\t{service.log_path}\n")


def _relock() -> None:
    # Imported here: it loads the resolver, which no other command needs.
    from connectors.embedded.lock import write_lock
    from connectors.embedded.relock import relock

    write_lock(relock())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m connectors.embedded", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status", "lock"))
    parser.add_argument("--directory", type=Path, default=Path(".cartrita/stack"), help="of data and logs")
    parser.add_argument("--artifacts", type=Path, default=None, help="cache of downloads, may be shared")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
