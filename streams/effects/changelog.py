"""What a record of a ledger's changelog has to be before its table takes it."""

from streams.effects.ledger import LedgerEntry, call_id_of, decode_position, position_place
from streams.records.framing import RecordDamaged, RecordForeign


def check_noted(key: bytes, value: bytes, partition: int, source: str) -> None:
    """Refuse what no effect shell wrote.

    Args:
        key: of the record.
        value: of the record.
        partition: of the changelog on which it stands.
        source: topic of the calls.

    Raises:
        RecordForeign: the partition's owner keeps nothing under this key.
        RecordDamaged: it does, and not this.
        RecordNewer: a newer program wrote it.
    """
    place = position_place(key)
    if place is not None:
        if place != (source, partition):
            raise RecordForeign("it is a position of another topic or partition")
        decode_position(value)
    elif call_id_of(key) is None:
        raise RecordForeign("its key is neither a call's nor a position's")
    elif LedgerEntry.decode(value).partition != partition:
        raise RecordDamaged("the entry is of a call on another partition")
