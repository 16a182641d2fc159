"""Law 7: what an erased user did is in no model, also while the log still holds it."""

from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.users import Erasure
from services.training.data.forgotten import without_forgotten
from tests.fakes.event_log import columns_of

EVENTS = columns_of(
    Interaction(EventId(f"{number}"), UserId(user), ItemId(item), "view", number)
    for number, (user, item) in enumerate([("ann", "a"), ("bob", "b"), ("ann", "c"), ("ann", "d"), ("cat", "e")])
)


def test_what_came_before_the_wish_is_left_out_and_what_came_since_stays() -> None:
    """Ann asked at 1 and again at 2; what she did then is forgotten too, what she did at 3 is not."""
    left = without_forgotten(EVENTS, [Erasure(UserId("ann"), 2), Erasure(UserId("ann"), 1)])
    assert left.items.spelled() == ["b", "d", "e"]
    assert left.event_times_us.tolist() == [1, 3, 4]


def test_a_user_of_whom_nothing_is_left_is_not_even_a_word() -> None:
    assert set(without_forgotten(EVENTS, [Erasure(UserId("ann"), 9)]).users.words) == {"bob", "cat"}


def test_wishes_of_others_change_nothing() -> None:
    assert without_forgotten(EVENTS, [Erasure(UserId("dan"), 9)]) is EVENTS
