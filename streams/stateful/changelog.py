"""What a record of a stateful shell's changelog has to be before its table takes it."""

from streams.records.framing import RecordForeign
from streams.records.intake import RESERVED_KEYS
from streams.stateful.marks import MarksRecord, home_of, is_marks
from streams.stateful.stored_record import peek


def check_stored(key: bytes, value: bytes, partition: int, partitions: int) -> None:
    """Refuse what no shell wrote.

    Args:
        key: of the record.
        value: of the record.
        partition: of the changelog on which it stands.
        partitions: of the changelog.

    Raises:
        RecordForeign: the partition's owner keeps nothing under this key.
        RecordDamaged: it does, and not this.
        RecordNewer: a newer program wrote it.
    """
    if key.startswith(RESERVED_KEYS) and not is_marks(key):
        raise RecordForeign("its key is reserved, and of no kind that a shell uses")
    if home_of(key, partitions) != partition:
        raise RecordForeign("its key belongs on another partition")
    if is_marks(key):
        MarksRecord.decode(value)
        return
    try:
        key.decode()
    except UnicodeDecodeError as error:
        raise RecordForeign("its key is not UTF-8, as every key of a shell is") from error
    peek(value)
