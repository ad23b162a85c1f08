"""What `replay`, `record` and `fork` begin with: all that the log has of one session."""

from streams.cli.command import Code, fail
from streams.cli.context import settings
from streams.client.client import Client
from streams.history.recording import Recording
from streams.history.recording_reader import RecordingReader, SessionCut, SessionMissing


async def recording_of(client: Client, session_id: str) -> Recording:
    """Read a session's recording, or end the command where the log has not all of it."""
    chosen = settings()
    reader = RecordingReader(
        kafka_bootstrap=chosen.kafka_bootstrap,
        topic_prefix=chosen.topic_prefix,
        partitions=chosen.partitions,
        codec=client.codec,
    )
    try:
        return await reader.recording(session_id)
    except SessionMissing as error:
        fail(Code.NOT_FOUND, str(error))
    except SessionCut as error:
        fail(Code.NOT_FOUND, str(error), "Restore the topic from its archive to decide it again.")
