"""When a process that died is started again."""

from deploy.embedded.restarts import MAX_DELAY_S, RestartPlan


def test_the_delay_doubles_up_to_its_bound() -> None:
    plan = RestartPlan()
    delays = [plan.died(now=0.0, lived_s=0.1) for _ in range(8)]
    assert delays == [1, 2, 4, 8, 16, MAX_DELAY_S, MAX_DELAY_S, MAX_DELAY_S]


def test_a_process_that_lived_long_begins_anew() -> None:
    plan = RestartPlan()
    plan.died(now=0.0, lived_s=0.1)
    plan.died(now=0.0, lived_s=0.1)
    assert plan.died(now=100.0, lived_s=3_600.0) == 1


def test_it_is_due_once_the_delay_is_over_and_only_until_it_is_started() -> None:
    plan = RestartPlan()
    assert not plan.is_due(0.0)
    plan.died(now=10.0, lived_s=0.1)
    assert not plan.is_due(10.9)
    assert plan.is_due(11.0)
    plan.started()
    assert not plan.is_due(12.0)
    assert plan.num_restarts == 1
