"""Run a command and print, as JSON, its seconds, its seconds of cores and its peak of memory in megabytes.

    python benchmarks/timed.py COMMAND...

A process of its own and a small one: Linux counts into a child's peak what its parent had when it started it.
"""

import json
import os
import subprocess
import sys
import time

began = time.perf_counter()
with subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # noqa: S603
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
spent = time.perf_counter() - began
print(json.dumps({"seconds": spent, "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss / 1024}))
sys.exit(process.returncode)
