"""A real worker as a process of its own; its settings come from its environment."""

import os
import sys

from streams.process.settings import Settings
from streams.worker.worker import run_worker
from topics.shells import SHELLS

if __name__ == "__main__":
    code = run_worker(Settings.from_environment(os.environ), sys.argv[1:] or SHELLS)
    sys.stderr.flush()
    os._exit(code)
