"""What a program can go on from: topics of which its tables have seen no more than there is."""

from collections.abc import Mapping

from streams.process.ending import ExitCode, ShellStopped


def only_known(positions: Mapping[tuple[str, int], int], topic: str, partition: int, offset: int) -> None:
    """Refuse to go on when a table has seen more of a topic than there is.

    Raises:
        ShellStopped: the topic was deleted and made again, or cut.
    """
    end = positions.get((topic, partition))
    if end is not None and offset >= end:
        raise ShellStopped(
            ExitCode.TOPICS,
            f"the table has applied offset {offset} of {topic}/{partition}, which ends at {end}: the topic "
            "was deleted and made again; restore it, or start with another topic prefix",
        )
