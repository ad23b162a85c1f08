"""Write down what the projections make of each fact now: `python -m tests.projections`."""

from tests.projections.made import DIGESTS
from tests.projections.telling import told

DIGESTS.write_text(told(), encoding="utf-8")
