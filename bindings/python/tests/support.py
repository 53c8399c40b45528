"""What the tests share: a broker, and programs of their own."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent
LIMIT = 60


@contextlib.contextmanager
def broker(*arguments):
    """Yields the address of a broker, on a port of its own."""
    command = [os.environ["ISCP_PROGRAM"], "broker", "--ws", "127.0.0.1:0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            if not line.startswith("listening "):
                raise AssertionError(f"the broker said {line!r}")
            yield line.split()[1]
        finally:
            process.kill()


class Chaos:
    """A proxy before a broker that injects faults."""

    def __init__(self, url):
        command = [os.environ["ISCP_PROGRAM"], "chaos", "--to", url.removeprefix("ws://"), "--commands"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = "ws://" + self._process.stdout.readline().split()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self._process:
            self._process.kill()

    def do(self, command):
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        # It tells of connections too.
        for line in self._process.stdout:
            if line == f"ok {command}\n":
                return
        raise AssertionError("the proxy has ended")


def start(*arguments):
    """Starts a Python program that finds the package."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def until(condition, what):
    """Waits for something that happens on another thread."""
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen")
        time.sleep(0.005)
