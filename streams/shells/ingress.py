"""The ingress shell: checks what the world sends, counts its tokens, and puts it on its session's partition.

Two topics lead in: `user.inputs` for everybody, `operator.inputs` for operators. The first takes any key, and
both any partitioner; everything behind this shell writes with Java's murmur2, so that a session never has two
owners.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from connectors.calendar.cron import CronCalendar
from processors.approvals.entrance import demand_signed
from processors.inputs import Tokenizer, checked_input, checked_restraint
from processors.redrives import checked_redrive
from processors.schedules.entrance import checked_schedule
from schemas.configuration import Limits, Policy
from schemas.envelope import Envelope
from schemas.events.inputs import ForkRequested, MessageReceived
from schemas.events.redrives import RedriveRequested
from schemas.events.restraints import RestraintAct
from schemas.events.schedules import ScheduleAct
from schemas.frozen import replace
from schemas.ids import derived_id
from schemas.wire.codec import Codec
from streams.engine.context import ShellContext
from streams.engine.faust_shell import FaustShell
from streams.process.metrics import ShellMetrics
from streams.records.delivery import Delivery, Log
from streams.shells.forwarding import ForwardingShell, ReadFloors, build_forwarding
from streams.shells.pasts import Pasts
from topics.catalog import (
    FORK_REQUESTS,
    REDRIVES,
    SCHEDULE_INPUTS,
    SESSION_INPUTS,
    TOOL_RESTRAINTS,
    Topic,
)
from topics.shells import INGRESS

CALENDAR: Final = CronCalendar()


class IngressShell(ForwardingShell):
    """Takes inputs in."""

    def __init__(
        self,
        *,
        codec: Codec,
        log: Log,
        floors: ReadFloors,
        tokenizer: Tokenizer,
        limits: Limits,
        policy: Policy,
        topic_prefix: str,
        metrics: ShellMetrics,
        now_ms: Callable[[], int],
        pasts: Pasts | None = None,
    ) -> None:
        """Take the surroundings, as in ForwardingShell.

        Args:
            codec: reads and writes events.
            log: what is written to.
            floors: reads what was taken in before.
            tokenizer: counts the tokens of a text.
            limits: bounds on texts.
            policy: knows whose signatures count.
            topic_prefix: before topic names in dead letters.
            metrics: counts.
            now_ms: the clock, for the metrics of latency.
            pasts: knows what sessions were in V1; None: nobody does.
        """
        super().__init__(
            name=INGRESS,
            codec=codec,
            log=log,
            floors=floors,
            topic_prefix=topic_prefix,
            metrics=metrics,
            now_ms=now_ms,
        )
        self._tokenizer = tokenizer
        self._limits = limits
        self._policy = policy
        self._pasts = pasts

    async def forwarded(self, event: Envelope, delivery: Delivery) -> tuple[Envelope, Topic]:
        """Return the input as its session gets it, or whoever else acts on it.

        Forks go to the fork shell, which reads the log before their session does, stops of tools to every
        worker, redrives to the worker that carries them out, and acts on schedules to the shell that owns
        them.
        """
        if isinstance(event.body, RestraintAct):
            return checked_restraint(event, taken_at_ms=delivery.timestamp_ms), TOOL_RESTRAINTS
        if isinstance(event.body, ScheduleAct):
            checked = checked_schedule(event, taken_at_ms=delivery.timestamp_ms, calendar=CALENDAR)
            return checked, SCHEDULE_INPUTS
        if isinstance(event.body, RedriveRequested):
            return checked_redrive(event, taken_at_ms=delivery.timestamp_ms), REDRIVES
        checked = checked_input(
            event,
            (delivery.topic, delivery.partition, delivery.offset),
            taken_at_ms=delivery.timestamp_ms,
            producer=INGRESS,
            tokenizer=self._tokenizer,
            limits=self._limits,
        )
        demand_signed(checked, self._policy, delivery.timestamp_ms)
        if not isinstance(checked.body, ForkRequested):
            return checked, SESSION_INPUTS
        # The event with which the fork begins has the id that the sender knows, as any input's.
        return replace(checked, event_id=derived_id(checked.event_id, "request")), FORK_REQUESTS

    async def forerunner(self, event: Envelope) -> Envelope | None:
        """Return what the session was in V1, before a message that may be the first to go on with it."""
        if self._pasts is None or not isinstance(event.body, MessageReceived):
            return None
        return await self._pasts.past_of(event)


def build_ingress(
    context: ShellContext, tokenizer: Tokenizer, limits: Limits, policy: Policy, pasts: Pasts
) -> FaustShell:
    """Build the ingress shell; nothing connects until its app starts."""
    make = partial(IngressShell, tokenizer=tokenizer, limits=limits, policy=policy, pasts=pasts)
    return build_forwarding(context, INGRESS, make, reads_all=True)
