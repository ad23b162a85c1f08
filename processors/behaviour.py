"""The number of the program's behaviour: what tells apart a change of the program from a fault.

Sessions are decided again from their inputs, and compared event by event and state by state with what was
recorded. Whoever changes what a decider decides, or how a state is encoded, raises the number; replay then
checks what this behaviour decided, and says of the rest which one did.

    1   Until the number was there: its absence means 1.
    2   Retries and give-ups of a turn's own calls leave events; faults of a plan are told in our own
        sentences; defaults are left out of an encoded state; calls of a tool that were
        allowed count for the rules that look at their number.
    3   Downshifts look at tokens as well, and what budgets decide of a call is told as a decision of policy.
    4   What others than a session's owner say is refused; whoever asks something of no session is told by
        their own name.
    5   Plans and critiques are found in what a model writes around them; where no plan can be had, one task
        of the default agent answers, and what was cut off or held back is not asked for again.
    6   Tasks get budgets from their estimates, which count what tools bring; each attempt is started by name;
        the deadline rests while a person is asked; snapshots show the plan; each phase is told.
    7   An outcome is checked before anything of it is applied; what a call uses beyond its reservation is
        told, and charged too where nothing was reserved.
    8   A call beyond those that one answer may ask for, and one that nobody approved in time, are told as
        decisions of policy.
    9   Budgets are set at any time, and accounts asked for more; a budget that is ignored or spent is told.
    10  A policy that a fork brings only narrows the one that is configured; repeats are known for the latest
        2,048 inputs of a session, not 256.
    11  A state knows the latest 256 to 512 inputs of its session; the shell knows the others.
    12  A person is asked about a tool call that may have been carried out, before its task ends for it.
    13  A plan and a critique that repeat the example of their instructions are none; a revision that changes
        nothing is not criticised again.
    14  A decision about a tool call is signed, and binds to exactly what was asked; after a change of the
        policy, or of the arguments by an approver, the call is decided and asked for anew. Rules ask for
        arguments, tenants, users, hours, and calls of a turn or a session, which the state counts.
    15  Turns that no longer fit a prompt are summed up by a call of its own; of long texts of earlier turns
        both ends are told; turns without an answer are remembered; who works alone is told the past.
    16  A conversation that came over from V1 is gone on with: prompts and the first summary tell of it.
    17  An answer has to fit its agent's output model, and is sent back to be mended where it does not; agents
        may have fewer steps than the limit, and be told the past always or never; whoever sums up a
        conversation has a name of its own. A call tells why it goes to its model; hard and easy tasks, calls
        with tools and models that failed often lately count for that, too.
    18  Whose word is in what led to a call is carried along, and told of prompts, calls and decisions. Rules
        ask for it; where untrusted input, data and an effect outside come together, a person is asked.
"""

from typing import Final

from schemas.configuration import Configuration
from schemas.envelope import Versions
from schemas.frozen import replace

BEHAVIOUR: Final = 18


def stamped(configuration: Configuration) -> Configuration:
    """Return the configuration with versions that name this behaviour."""
    return replace(configuration, versions=replace(configuration.versions, behaviour=BEHAVIOUR))


def behaviour_of(versions: Versions) -> int:
    """Return the behaviour that decided an event with these versions."""
    return 1 if versions.behaviour is None else versions.behaviour
