"""What the benchmarks for a GPU share: the device and what it could do at best, and events made on the spot.

Without a GPU all of it is of the CPU, so that the benchmarks are known to run before there is one.
"""

import platform
import shlex
import sys
import time
from typing import Any, Final

import numpy as np
import torch

from services.domain.event_columns import EventColumns, Words
from services.training.evaluation.protocol_figures import peak_rss_mib

NUM_USERS: Final = 138_000
NUM_ITEMS: Final = 27_000
START_US: Final = 1_700_000_000_000_000
CEILING_SIZE: Final = 4_096
CEILING_S: Final = 2.0


def synthetic(num_events: int) -> EventColumns:
    """Users in random turns, popular items more often."""
    random = np.random.default_rng(1)
    users = (NUM_USERS * random.random(num_events) ** 1.5).astype(np.int32)
    items = (NUM_ITEMS * random.random(num_events) ** 3.3).astype(np.int32)
    return EventColumns(
        users=Words(users, tuple(f"user-{number}" for number in range(NUM_USERS))),
        items=Words(items, tuple(f"item-{number}" for number in range(NUM_ITEMS))),
        event_types=Words(np.zeros(num_events, np.int32), ("view",)),
        event_times_us=START_US + np.arange(num_events, dtype=np.int64) * 1_000_000,
        values=np.full(num_events, np.nan),
    )


def device() -> torch.device:
    """The one that a model takes by itself."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def ceiling(dtype: torch.dtype) -> float:
    """FLOP/s of a square matrix product of CEILING_SIZE, a quarter of that on a CPU."""
    on_gpu = device().type == "cuda"
    size = CEILING_SIZE if on_gpu else CEILING_SIZE // 4
    one, other = (torch.randn(size, size, device=device(), dtype=dtype) for _ in range(2))
    num, started = 0, time.monotonic()
    while time.monotonic() - started < CEILING_S:
        for _ in range(10):
            one @ other
        if on_gpu:
            torch.cuda.synchronize()
        num += 10
    return num * 2 * size**3 / (time.monotonic() - started)


def conditions() -> dict[str, Any]:
    """Device, versions and command: what stands beside every figure."""
    on_gpu = device().type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device())
        if on_gpu
        else f"{platform.processor() or platform.machine()} CPU",
        "torch": torch.__version__,
        "cuda": torch.version.cuda if on_gpu else None,
        "python": platform.python_version(),
        "command": shlex.join(
            ["python", "-m", f"benchmarks.{sys.argv[0].rsplit('/')[-1].removesuffix('.py')}", *sys.argv[1:]]
        ),
    }


def peaks() -> dict[str, int | None]:
    """The most memory that this process has held so far, and of it what tensors on the GPU took; None without one."""
    on_gpu = device().type == "cuda"
    return {
        "peak_rss_mib": round(peak_rss_mib()),
        "peak_gpu_mib": round(torch.cuda.max_memory_allocated() / 2**20) if on_gpu else None,
    }
