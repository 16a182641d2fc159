"""What every UserDirectory promises."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.adapters.sql.engine import connect
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.user_directory import SqlUserDirectory
from services.domain.errors import CatalogDown
from services.domain.ids import UserId
from services.domain.ports import UserDirectory
from services.domain.users import Erasure, User
from tests.fakes.clock import FakeClock
from tests.fakes.user_directory import FakeUserDirectory

ADA = User(UserId("ada"), {"city": "London", "ключ": "☕ 'quoted\" %s"}, 1_000)


def _sql(url: str) -> SqlUserDirectory:
    upgrade(url)
    return SqlUserDirectory(connect(url), FakeClock())


@pytest.fixture(params=["fake", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> UserDirectory:
    makers: dict[str, Callable[[], UserDirectory]] = {
        "fake": FakeUserDirectory,
        "sqlite": lambda: _sql(f"sqlite:///{tmp_path / 'catalog.db'}"),
        "postgres": lambda: _sql(request.getfixturevalue("postgres_url")),
    }
    return makers[request.param]()


def test_a_user_comes_back_as_stored_and_unknown_ones_are_left_out(directory: UserDirectory) -> None:
    directory.upsert([ADA])
    assert directory.get([ADA.user_id, UserId("nobody")]) == {ADA.user_id: ADA}
    assert directory.get([]) == {}


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_the_newest_update_time_wins_whatever_the_order(directory: UserDirectory, in_one_batch: bool) -> None:
    newer = replace(ADA, attributes={}, update_time_us=ADA.update_time_us + 1)
    if in_one_batch:
        directory.upsert([newer, ADA])
    else:
        directory.upsert([newer])
        directory.upsert([ADA])
    assert directory.get([ADA.user_id]) == {ADA.user_id: newer}


@pytest.mark.parametrize("wish_first", [True, False])
def test_a_wish_forgets_the_state_of_before_it_whatever_came_first(directory: UserDirectory, wish_first: bool) -> None:
    wish = Erasure(ADA.user_id, ADA.update_time_us)
    if wish_first:
        directory.request_erasures([wish])
        directory.upsert([ADA])
    else:
        directory.upsert([ADA])
        directory.request_erasures([wish])
    assert directory.get([ADA.user_id]) == {}
    assert directory.open_erasures() == [wish]


def test_a_state_of_after_the_wish_is_kept(directory: UserDirectory) -> None:
    """Who comes back is a user like any other."""
    directory.request_erasures([Erasure(ADA.user_id, ADA.update_time_us - 1)])
    directory.upsert([ADA])
    directory.request_erasures([Erasure(ADA.user_id, ADA.update_time_us - 1)])
    assert directory.get([ADA.user_id]) == {ADA.user_id: ADA}


def test_a_wish_of_a_user_nobody_knows_is_open_too(directory: UserDirectory) -> None:
    """They may have events, though no attributes."""
    directory.request_erasures([Erasure(UserId("bob"), 7)])
    assert directory.open_erasures() == [Erasure(UserId("bob"), 7)]


def test_open_wishes_are_the_newest_of_each_user_oldest_first(directory: UserDirectory) -> None:
    ada, bob = UserId("ada"), UserId("bob")
    directory.request_erasures([Erasure(ada, 9), Erasure(bob, 5), Erasure(ada, 3)])
    directory.request_erasures([Erasure(ada, 4)])
    assert directory.open_erasures() == [Erasure(bob, 5), Erasure(ada, 9)]


def test_a_fulfilled_wish_stays_fulfilled_when_its_record_is_read_again(directory: UserDirectory) -> None:
    wish = Erasure(ADA.user_id, 2_000)
    directory.request_erasures([wish])
    directory.close_erasures([wish])
    directory.request_erasures([wish])
    assert directory.open_erasures() == []
    directory.upsert([ADA])
    assert directory.get([ADA.user_id]) == {}


def test_a_newer_wish_stays_open_when_an_older_one_is_fulfilled(directory: UserDirectory) -> None:
    directory.request_erasures([Erasure(ADA.user_id, 1)])
    directory.request_erasures([Erasure(ADA.user_id, 2)])
    directory.close_erasures([Erasure(ADA.user_id, 1)])
    assert directory.open_erasures() == [Erasure(ADA.user_id, 2)]
    directory.close_erasures([Erasure(ADA.user_id, 2)])
    directory.request_erasures([Erasure(ADA.user_id, 3)])
    assert directory.open_erasures() == [Erasure(ADA.user_id, 3)]


def test_every_wish_stays_known_and_a_fulfilled_one_can_be_opened_again(directory: UserDirectory) -> None:
    """Events of before a wish may come years later, from a backup or an import; they are erased then."""
    ada, bob = Erasure(ADA.user_id, 9), Erasure(UserId("bob"), 5)
    directory.request_erasures([ada, bob])
    directory.close_erasures([ada, bob])
    assert directory.open_erasures() == []
    assert directory.erasures() == [bob, ada]
    directory.reopen_erasures([bob, Erasure(UserId("nobody"), 5), Erasure(ADA.user_id, 8)])
    assert directory.open_erasures() == [bob], "what came late of an older wish says nothing of the newer one"
    assert directory.erasures() == [bob, ada]
    directory.close_erasures([bob])
    assert directory.open_erasures() == []


def test_large_batches_pass(directory: UserDirectory) -> None:
    users = [User(UserId(f"user-{number}"), {}, number) for number in range(2_500)]
    directory.upsert(users)
    directory.request_erasures([Erasure(user.user_id, 999) for user in users])
    assert sorted(user.update_time_us for user in directory.get([user.user_id for user in users]).values()) == list(
        range(1_000, 2_500)
    )
    assert len(directory.open_erasures()) == 2_500


moments = st.integers(1, 3)
states, wishes = (
    st.builds(replace, st.just(ADA), update_time_us=moments),
    st.builds(Erasure, st.just(ADA.user_id), moments),
)
said = st.lists(states | wishes, max_size=5)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(said, st.data())
def test_any_order_and_repetition_ends_in_one_state(
    directory: UserDirectory, records: list[User | Erasure], data: st.DataObject
) -> None:
    """Kafka may repeat, and a topic may be read again from its beginning."""
    again = data.draw(st.permutations([*records, *records]))
    once, twice = UserId(uuid4().hex), UserId(uuid4().hex)
    tell(directory, once, records)
    tell(directory, twice, again)
    assert state_of(directory, once) == state_of(directory, twice)


def tell(directory: UserDirectory, user_id: UserId, records: Sequence[User | Erasure]) -> None:
    for record in records:
        if isinstance(record, User):
            directory.upsert([replace(record, user_id=user_id)])
        else:
            directory.request_erasures([replace(record, user_id=user_id)])


def state_of(directory: UserDirectory, user_id: UserId) -> tuple[list[int], list[int]]:
    """When the kept state was made, and when the open wish."""
    states = [user.update_time_us for user in directory.get([user_id]).values()]
    return states, [wish.request_time_us for wish in directory.open_erasures() if wish.user_id == user_id]


@pytest.mark.parametrize("url", ["postgresql+psycopg://nobody:secret@127.0.0.1:9/none", "sqlite:////dev/null/x.db"])
def test_a_database_that_is_gone_is_catalog_down(url: str) -> None:
    with pytest.raises(CatalogDown):
        SqlUserDirectory(connect(url), FakeClock()).open_erasures()
