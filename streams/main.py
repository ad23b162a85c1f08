"""The command `cartrita`."""

import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    try:
        # Within, for an interrupt may come while all of it is imported.
        from streams.cli.application import app
        from streams.cli.output import accept_any_text
        from streams.process.logs import set_up_logs

        accept_any_text()
        # To standard error, which the default of the library is not; a worker sets up its own.
        set_up_logs(log_format="console", level="warning")
        app()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
