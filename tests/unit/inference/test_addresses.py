import pytest

from services.domain.errors import InvalidSettings
from services.inference.addresses import redis_url
from services.settings import Settings


def test_serving_without_a_store_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIGHTJAR_REDIS__URL", raising=False)
    with pytest.raises(InvalidSettings, match="NIGHTJAR_REDIS__URL"):
        redis_url(Settings())
