"""The address of the store that serving cannot start without."""

from services.domain.errors import InvalidSettings
from services.settings import Settings


def redis_url(settings: Settings) -> str:
    """The online store's address; raises InvalidSettings when there is none."""
    if settings.redis.url is None:
        raise InvalidSettings(
            "NIGHTJAR_REDIS__URL is not set, so there are no histories to answer from; set it to a redis:// address, "
            "or start everything together with `nightjar up`."
        )
    return settings.redis.url.get_secret_value()
