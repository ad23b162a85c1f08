"""A real worker as a process of its own; its settings come from its environment."""

import os
import sys

from streams.settings import Settings
from streams.shells import SHELLS
from streams.worker import run_worker

if __name__ == "__main__":
    code = run_worker(Settings.from_environment(os.environ), sys.argv[1:] or SHELLS)
    sys.stderr.flush()
    os._exit(code)
