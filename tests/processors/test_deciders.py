"""The four deciders pass the suite of all deciders."""

from random import Random

from connectors.calendar.cron import CronCalendar
from processors.accounts import AccountDecider, AccountState
from processors.capabilities import CapabilityDecider, CapabilityState
from processors.schedules.decider import ScheduleDecider
from processors.schedules.state import ScheduleState
from processors.session import SessionDecider
from processors.state import SessionState
from schemas.envelope import Fact
from schemas.events.accounts import LeaseRequested, LeaseReturned
from schemas.events.inputs import MessageReceived, SessionCancelled, SessionClosed, SessionOpened
from schemas.events.schedules import (
    FiringOutcome,
    FiringSeen,
    ScheduleCreated,
    ScheduleDue,
    SchedulePaused,
    SchedulePlan,
    ScheduleResumed,
)
from schemas.events.tools import ResourceIntensity, SafetyLevel, ToolOutcomeObserved
from schemas.ids import derived_id
from tests.processors.decider_conformance import DeciderConformance
from tests.processors.world import configuration, small

ACCOUNT = "default/ada"


class TestAccountDecider(DeciderConformance[AccountState]):
    key = ACCOUNT

    def decider(self) -> AccountDecider:
        return AccountDecider(configuration(small(account_tokens=1_000, account_nanodollars=10_000)))

    def life(self, random: Random) -> list[Fact]:
        """Draw requests, and returns of leases that were asked for before."""
        asked: list[str] = []
        facts: list[Fact] = []
        for number in range(random.randint(1, 20)):
            if asked and random.random() < 0.4:
                lease = asked.pop(random.randrange(len(asked)))
                used = random.randint(0, 300)
                facts.append(
                    LeaseReturned(lease_id=lease, account_id=ACCOUNT, tokens_used=used, nanodollars_used=used)
                )
                continue
            lease = f"lease-{number}"
            asked.append(lease)
            tokens = random.randint(1, 700)
            facts.append(
                LeaseRequested(lease_id=lease, account_id=ACCOUNT, tokens=tokens, nanodollars=tokens)
            )
        return facts


class TestCapabilityDecider(DeciderConformance[CapabilityState]):
    key = "look@1.0.0"

    def decider(self) -> CapabilityDecider:
        return CapabilityDecider()

    def life(self, random: Random) -> list[Fact]:
        """Draw outcomes of two months, in any order."""
        return [
            ToolOutcomeObserved(
                call_id=f"call-{number}",
                tool="look",
                tool_version="1.0.0",
                category="test",
                safety_level=SafetyLevel.SAFE,
                complexity_score=3,
                resource_intensity=ResourceIntensity.LIGHT,
                succeeded=random.random() < 0.7,
                latency_ms=random.randint(1, 900),
                used_tokens=random.randint(0, 90),
                ended_at_ms=random.randint(100, 160) * 86_400_000,
            )
            for number in range(random.randint(1, 40))
        ]


class TestSessionDecider(DeciderConformance[SessionState]):
    key = "session"

    def decider(self) -> SessionDecider:
        return SessionDecider(configuration(small(queue_max=3)))

    def life(self, random: Random) -> list[Fact]:
        """Draw what people say, after a first message; what models and tools answer is in other tests."""
        first = MessageReceived(text="please do it", tokens=3)
        later = (
            first,
            MessageReceived(text="and this", tokens=2, budget_tokens=600),
            SessionOpened(title="a title"),
            SessionClosed(),
            SessionCancelled(reason="enough"),
        )
        return [first, *random.choices(later, k=random.randint(0, 12))]


class TestScheduleDecider(DeciderConformance[ScheduleState]):
    key = derived_id("schedule")

    def decider(self) -> ScheduleDecider:
        return ScheduleDecider(CronCalendar())

    def life(self, random: Random) -> list[Fact]:
        """Draw acts, times that come and ends that are seen, after a creation."""
        plan = SchedulePlan(name="often", text="Go on.", at_ms=1_000_000)
        facts: list[Fact] = [ScheduleCreated(plan=plan, created_by="olga")]
        due = ScheduleDue(timer_id=derived_id(self.key, "timer", "1000000", "0"), due_at_ms=1_000_000)
        seen = FiringSeen(firing_id=derived_id(self.key, "firing", "1000000"), outcome=FiringOutcome.ANSWERED)
        # What comes too early, or while it is paused, counts if it is told again later.
        told: list[Fact] = [due, seen]
        facts += told[: random.randint(0, 2)]
        acts: list[Fact] = [SchedulePaused(), ScheduleResumed()]
        return [*facts, *random.sample(acts, random.randint(0, len(acts)))]
