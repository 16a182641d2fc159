"""Where a user's past is still kept: the answer to whether a wish to be forgotten is fulfilled."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.domain.ids import UserId
from services.domain.log_keeping import Held, LogKeeper
from services.domain.ports import UserDirectory
from services.domain.users import Erasure

_FOR_EVER_US: Final = 2**53  # the year 2255; numbers beyond are not told apart by Redis's scores


@dataclass(frozen=True, slots=True)
class Found:
    """What is kept of one user: of what they did until their wish, or without one, of all they did."""

    request_time_us: int | None
    """Of their newest wish to be forgotten; None when there was none."""
    is_open: bool
    """Whether a wish is not fulfilled yet."""
    has_attributes: bool
    """In the catalog database; after a wish, only what was said since then."""
    log: Held
    num_online: int | None
    """History entries, consumed and shown items in the online store; None where there is none."""

    @property
    def is_forgotten(self) -> bool:
        """Whether nothing is kept of before the wish, as far as every file could be read."""
        log = self.log
        return not (log.num_events_now or log.num_events_before or log.num_files_unreadable or self.num_online)


def find(
    user_id: UserId, users: UserDirectory, keeper: LogKeeper, num_online: Callable[[Erasure], int] | None
) -> Found:
    """Looks everywhere and reads every file of the log; raises CatalogDown, EventLogDown and FeatureStoreDown."""
    wish = next((each for each in users.erasures() if each.user_id == user_id), None)
    past = wish or Erasure(user_id, _FOR_EVER_US)
    return Found(
        request_time_us=None if wish is None else wish.request_time_us,
        is_open=wish is not None and wish in users.open_erasures(),
        has_attributes=user_id in users.get([user_id]),
        log=keeper.held(past),
        num_online=None if num_online is None else num_online(past),
    )
