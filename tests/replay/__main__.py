"""Write the shipped recording anew: `python -m tests.replay`."""

from streams.history.recording import write_recording
from tests.replay.worlds import SHIPPED, recorded, world

made = world()
made.say()
made.run()
write_recording(recorded(made), SHIPPED)
