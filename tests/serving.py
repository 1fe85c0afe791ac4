"""`pixelkin serve` as a process of its own, on this machine's loopback."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from threading import Thread

START_SECONDS = 60


@contextmanager
def running(
    *arguments,
    program=(sys.executable, "-m", "pixelkin"),
    folder=None,
    preexec_fn=None,
    start_new_session=False,
    **environment,
):
    """A served model; gives the process, with its address as ``url``, and stops it.

    Args:
        arguments: of `pixelkin serve`, beside a free port and one thread.
        program: that is run.
        folder: that it is run in; None for this process's.
        preexec_fn, start_new_session: as `subprocess.Popen` takes them.
        environment: over this process's.
    """
    process = subprocess.Popen(
        [*map(str, program), "serve", "--port=0", "--threads=1", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | environment,
        preexec_fn=preexec_fn,
        start_new_session=start_new_session,
    )
    process.told = []
    reader = Thread(target=lambda: process.told.extend(iter(process.stderr.readline, "")))
    reader.start()
    try:
        process.url = _address(process)
        yield process
    finally:
        process.terminate()
        process.wait(30)
        reader.join()
        process.stderr.close()


def _address(process):
    """Waits until the service tells where it is."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        for line in process.told:
            if line.startswith("Pixelkin is at "):
                return line.split()[3]
        time.sleep(0.05)
    raise RuntimeError(f"the service did not start: {''.join(process.told)}")
