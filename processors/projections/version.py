"""The number of the projections: what tells rows of an earlier program apart from rows that are wrong.

Whoever changes what rows an event leads to raises the number. Rows that stand in Postgres keep what they are
until a rebuild; the database says by which number they were made, and `up`, `doctor` and `rebuild --verify`
say of others that a rebuild is due. `python -m tests.projections` keeps the digest that demands the raise.

    0   Until the number was there.
    1   The first that is told.
    2   Messages of prompts say how much of the text that they refer to is told.
    3   Sessions say when they came over from V1.
    4   Messages, prompts, calls of tools and decisions say whose word they are.
"""

from typing import Final

PROJECTIONS: Final = 4
