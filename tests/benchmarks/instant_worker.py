"""The real worker with the instant model and tool; its settings come from its environment."""

import os
import sys

from streams.process.settings import Settings
from streams.worker.worker import run_worker
from tests.benchmarks.instant import instant_providers
from topics.shells import SHELLS

if __name__ == "__main__":
    code = run_worker(Settings.from_environment(os.environ), sys.argv[1:] or SHELLS, instant_providers)
    sys.stderr.flush()
    os._exit(code)
