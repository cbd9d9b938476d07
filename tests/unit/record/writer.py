"""A process that writes to run stores, for tests: ``python writer.py many|endless <argument> ...``."""

from __future__ import annotations

import sys
import time

from odibi.record import RunStatus, StepStatus, open_store
from tests.unit.record.records import a_run, a_step


def many(name: str, warm_up: str, *urls: str) -> None:
    """At the second that is read from the input, and every tenth after it, open the next store.

    Then save five runs in the last one.
    """
    open_store(warm_up).close()
    print("ready", flush=True)
    start = float(input())
    for turn, url in enumerate(urls):
        time.sleep(max(0.0, start + turn / 10 - time.time()))
        open_store(url).close()
    with open_store(urls[-1]) as store:
        for number in range(5):
            run = a_run(f"{name}-{number}", steps=tuple(a_step(f"step_{i}") for i in range(10)))
            store.start_run(run)
            for step in run.steps:
                store.save_step(run.run_id, step.model_copy(update={"status": StepStatus.COMPLETED}))
            done = tuple(step.model_copy(update={"status": StepStatus.COMPLETED}) for step in run.steps)
            store.finish_run(run.model_copy(update={"status": RunStatus.SUCCEEDED, "steps": done}))


def endless(url: str) -> None:
    """Start a run and save the same step until killed; say after each time how often it was saved."""
    with open_store(url) as store:
        store.start_run(a_run())
        times = 0
        while True:
            times += 1
            store.save_step("20260301-aaaa", a_step("orders", rows_out=times))
            print(times, flush=True)


if __name__ == "__main__":
    {"many": many, "endless": endless}[sys.argv[1]](*sys.argv[2:])
