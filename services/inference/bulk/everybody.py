"""Every user with a history is asked for, some at a time; what comes is what Recommend answers at this moment."""

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import Final

from services.domain.errors import FeatureStoreDown
from services.domain.ids import UserId
from services.domain.ports import UserLister
from services.domain.recommendations import Degraded, Query, Recommendation
from services.inference.recommend import Recommender
from services.inference.together import recommend_each

USERS_TOGETHER: Final = 256  # larger: memory; smaller: fewer histories of one length, which are encoded together


class NoCache:
    """A ResultCache that keeps nothing: millions of lists that nobody asked for would push out those of visitors."""

    async def get(self, user_id: UserId, key: bytes) -> bytes | None:
        del user_id, key
        return None

    async def put(self, user_id: UserId, key: bytes, value: bytes) -> None:
        pass


async def lists_of_everybody(
    lister: UserLister, recommender: Recommender, k: int
) -> AsyncIterator[Sequence[tuple[UserId, Recommendation]]]:
    """Some users at a time, each with their list; whoever was erased since they were listed is left out.

    Raises FeatureStoreDown, since a list without its user's history is none to keep, and ModelNotReady.
    """
    for users in _packs(lister.users()):
        _, answers = await recommend_each(recommender, [Query(user, k) for user in users])
        lists = []
        for user, answer in zip(users, answers, strict=True):
            if not isinstance(answer, Recommendation):
                raise answer
            if answer.degraded is Degraded.FEATURE_STORE_DOWN:
                raise FeatureStoreDown(f"Redis stopped answering; the history of {user!r} could not be read.")
            if answer.history_version:
                lists.append((user, answer))
        yield lists


def _packs(found: Iterator[Sequence[UserId]]) -> Iterator[list[UserId]]:
    users = (user for some in found for user in some)
    while pack := list(islice(users, USERS_TOGETHER)):
        yield pack
