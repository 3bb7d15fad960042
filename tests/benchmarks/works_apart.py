"""Work for other processes: they import it by its name."""

import os
import sys


def double(number):
    return 2 * number


def fail():
    sys.exit(3)


def cores():
    return len(os.sched_getaffinity(0)), os.environ.get("OMP_NUM_THREADS")


def memory_of(megabytes):
    from measures.timing import peak_memory

    data = bytearray(megabytes * 1_000_000)
    data[::4096] = b"x" * len(data[::4096])
    return peak_memory()


def cores_when_held_to(count):
    from measures.processes import apart, use_cores

    return use_cores(count), apart(cores)


def memory_forgotten(megabytes):
    from measures.timing import forget_peak, peak_memory

    before = memory_of(megabytes)
    forget_peak()
    return before, peak_memory()
