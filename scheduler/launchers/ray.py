"""Training under Ray Train: the same module, told how many workers to ask which cluster for.

The process that asks runs beside the scheduler, speaks for all workers, and ends them when it is ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scheduler.chain import Work
from scheduler.children import Children, Task


@dataclass(frozen=True)
class RayChildren:
    """Fulfils Children with those of this machine."""

    children: Children
    num_workers: int
    address: str

    def run(self, task: Task, work: Work) -> Mapping[str, Any]:
        arguments = (*task.arguments, "--ray-workers", str(self.num_workers), "--ray-address", self.address)
        return self.children.run(Task(task.module, arguments), work)
