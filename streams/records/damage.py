"""Names damaged records of tables, with what they stop and what helps."""

from typing import Final

import structlog

from streams.records.framing import RecordDamaged

_log = structlog.get_logger()
KEY_CHARACTERS_MAX: Final = 200


def tell_key(damaged: RecordDamaged, *, shell: str, changelog: str, key: bytes) -> None:
    """Name a damaged record that holds up one key."""
    _tell(damaged, shell, changelog, key, "what comes for this key is put aside")


def tell_call(damaged: RecordDamaged, *, shell: str, changelog: str, key: bytes) -> None:
    """Name a damaged record of one call."""
    _tell(
        damaged,
        shell,
        changelog,
        key,
        "the call is looked for on the log; it counts as one that may have run",
    )


def tell_stopped(damaged: RecordDamaged, *, shell: str, changelog: str, partition: int) -> None:
    """Name a damaged record without which nothing of its partition can be taken in."""
    command = f"cartrita tables restore {changelog.removesuffix('-changelog')} {partition}"
    _tell(damaged, shell, changelog, b"", f"nothing of this partition is taken in; `{command}` restores it")


def named(damaged: RecordDamaged, changelog: str, key: bytes) -> str:
    """Name a damaged record in a sentence: its key, its place and what is wrong with it."""
    partition, offset = damaged.place or (None, None)
    place = changelog if partition is None else f"{changelog}, partition {partition}, offset {offset}"
    return f"the record of the key {_shown(key)} on {place} cannot be read: {damaged.reason}"


def _tell(damaged: RecordDamaged, shell: str, changelog: str, key: bytes, effect: str) -> None:
    partition, offset = damaged.place or (None, None)
    _log.error(
        "table_record_damaged",
        shell=shell,
        topic=changelog,
        partition=partition,
        offset=offset,
        key=_shown(key),
        reason=damaged.reason,
        effect=effect,
    )


def _shown(key: bytes) -> str:
    return key.decode(errors="replace")[:KEY_CHARACTERS_MAX]
