"""Errors are told to other processes, such as by a worker to the one that started it."""

import pickle

from services.domain.errors import InvalidRequest, NightjarError


def all_kinds(kind: type[NightjarError]) -> set[type[NightjarError]]:
    return {kind}.union(*map(all_kinds, kind.__subclasses__()))


def test_every_error_arrives_in_another_process_as_it_left() -> None:
    for kind in all_kinds(NightjarError) - {InvalidRequest}:
        arrived = pickle.loads(pickle.dumps(kind("do this")))  # noqa: S301 - our own
        assert (type(arrived), str(arrived)) == (kind, "do this")
    arrived = pickle.loads(pickle.dumps(InvalidRequest("k", "must be positive")))  # noqa: S301
    assert (arrived.field, arrived.problem, str(arrived)) == ("k", "must be positive", "k must be positive")
