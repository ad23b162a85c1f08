"""The command `cartrita`."""

import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    try:
        # Within, for an interrupt may come while all of it is imported.
        from streams.cli.application import app
        from streams.cli.output import accept_any_text

        accept_any_text()
        app()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
