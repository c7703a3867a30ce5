"""The command line in a process of its own, with a cache folder of the test's."""

import os
import subprocess
import sys


def environment(cache):
    return {**os.environ, "XDG_CACHE_HOME": str(cache), "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}


def suite(*arguments, cache, **options):
    command = [sys.executable, "-m", "suite", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment(cache), timeout=300, **options
    )
