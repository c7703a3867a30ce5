"""The command line in a process of its own, with a cache folder of the test's."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

from suite.cli.main import main


def environment(cache):
    return {**os.environ, "XDG_CACHE_HOME": str(cache), "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}


def suite(*arguments, cache, **options):
    command = [sys.executable, "-m", "suite", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment(cache), timeout=300, **options
    )


def wait_for(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


class Command:
    """A command in a process that is forked from this one, and so need not import anything."""

    def __init__(self, *words):
        said, end = os.pipe()
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=_answer, args=([*map(str, words)], end))
        self._process.start()
        os.close(end)
        self.pid = self._process.pid
        self.stderr = os.fdopen(said)

    def send_signal(self, number):
        os.kill(self.pid, number)

    def end(self):
        """What it still says until its end."""
        rest = self.stderr.read()
        self._process.join()
        return rest

    @property
    def returncode(self):
        return self._process.exitcode

    def close(self):
        self._process.kill()
        self._process.join()
        self.stderr.close()


def _answer(words, end):
    # Not as pytest has left them, and as a shell's background jobs do not ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    null = os.open(os.devnull, os.O_RDWR)
    for number, target in enumerate((null, null, end)):
        os.dup2(target, number)
    os.close(end)
    # New ones: those of the process that was forked may remember positions in files.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, closefd=False) for number in (1, 2))
    sys.exit(main(words))
