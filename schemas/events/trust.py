"""Trust: whose word a text is, told of prompts, calls and decisions."""

from schemas.words import Word


class Trust(Word):
    """Whose word something is; what is made of several texts is as little trusted as the least of them."""

    SYSTEM = "system"
    """What the configuration says, or a decider writes: prompts of agents, labels, refusals."""
    USER = "user"
    """What the session's user says in a message, or a person who decides about a call."""
    TOOL = "tool"
    """What a tool computed that this deployment vouches for, of nothing less trusted."""
    UNKNOWN = "unknown"
    """It was not noted, as by programs before behaviour 18; decided as these did."""
    DOCUMENT = "document"
    """What others wrote: attachments, passages, results and descriptions of tools that nobody vouches for."""
    CLAIM = "claim"
    """What says of itself who said it: a client's history, what came over from another system."""
