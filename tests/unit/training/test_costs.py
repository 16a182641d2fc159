"""What a run costs, counted by clocks that are told."""

from services.domain.models import Provenance, StageCost
from services.training.costs import Meter


class Clocks:
    wall_s = 0.0
    cpu_s = 0.0

    def spend(self, wall_s: float, cpu_s: float) -> None:
        self.wall_s += wall_s
        self.cpu_s += cpu_s

    def meter(self, *, has_gpu: bool = False) -> Meter:
        return Meter(has_gpu=has_gpu, wall_s=lambda: self.wall_s, cpu_s=lambda: self.cpu_s)


def test_each_stage_counts_until_the_next_begins_and_what_is_between_ends_counts_for_none() -> None:
    clocks = Clocks()
    meter = clocks.meter()
    clocks.spend(100.0, 100.0)
    for stage, wall_s, cpu_s in (("read", 2.0, 1.0), ("fit", 10.0, 38.0), ("read", 3.0, 1.0)):
        meter.begin(stage)
        clocks.spend(wall_s, cpu_s)
    meter.end()
    clocks.spend(100.0, 100.0)
    meter.end()
    assert meter.costs == {"read": StageCost(5.0, 2.0), "fit": StageCost(10.0, 38.0)}
    assert Provenance(cost=meter.costs).total_cost == StageCost(15.0, 40.0)


def test_a_gpu_costs_as_long_as_it_is_held() -> None:
    clocks = Clocks()
    meter = clocks.meter(has_gpu=True)
    meter.begin("fit")
    clocks.spend(10.0, 1.0)
    meter.end()
    assert meter.costs == {"fit": StageCost(10.0, 1.0, 10.0)}


def test_energy_counts_where_it_can_be_read() -> None:
    clocks, joules = Clocks(), iter([10.0, 25.0, 30.0, 31.0])
    meter = Meter(has_gpu=False, wall_s=lambda: 0.0, cpu_s=lambda: 0.0, energy_j=lambda: next(joules))
    for _ in range(2):
        meter.begin("fit")
        meter.end()
    assert meter.costs == {"fit": StageCost(0.0, 0.0, None, 16.0)}
    assert Provenance(cost={**meter.costs, "read": clocks_without_energy(clocks)}).total_cost.energy_j == 16.0


def clocks_without_energy(clocks: Clocks) -> StageCost:
    meter = clocks.meter()
    meter.begin("read")
    meter.end()
    return meter.costs["read"]


def test_workers_add_up_and_share_one_wall_clock() -> None:
    clocks = Clocks()
    meter = clocks.meter(has_gpu=True)
    meter.begin("fit")
    clocks.spend(10.0, 1.0)
    meter.end()
    meter.join([meter.costs, {"fit": StageCost(9.0, 3.0, 9.0), "elsewhere": StageCost(1.0, 1.0)}])
    assert meter.costs == {"fit": StageCost(10.0, 4.0, 19.0)}
    plain = clocks.meter()
    plain.begin("fit")
    plain.end()
    plain.join([plain.costs, {"fit": StageCost(1.0, 2.0)}])
    assert plain.costs == {"fit": StageCost(0.0, 2.0, None)}
