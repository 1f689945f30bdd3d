"""Answers are read by several threads at once, in a process that has read none before."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from edgekit.harness.launch import read_answer
from edgekit.job import Job

GOLDEN = Path(__file__).parents[2] / "golden/result.json"
PROCESSES, THREADS = 120, 4


def read_in_threads() -> None:
    """Making one type's decoder in two threads at once crashed 6% of such processes with msgspec 0.22."""
    document = GOLDEN.read_bytes()
    job = Job(harness_version="", mode="outputs", engine="litert", artifact="", artifact_sha256="", inputs=())
    barrier = threading.Barrier(THREADS)

    def work() -> None:
        barrier.wait()
        read_answer(document, job)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_reading_answers_in_threads_does_not_crash() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(PROCESSES):
            pid = os.fork()
            if pid == 0:
                read_in_threads()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        sys.setswitchinterval(interval)
