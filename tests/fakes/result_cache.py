"""A ResultCache in memory, without an end to what it keeps."""

from services.domain.ids import UserId


class FakeResultCache:
    def __init__(self) -> None:
        self.values: dict[tuple[UserId, bytes], bytes] = {}

    async def get(self, user_id: UserId, key: bytes) -> bytes | None:
        return self.values.get((user_id, key))

    async def put(self, user_id: UserId, key: bytes, value: bytes) -> None:
        self.values[(user_id, key)] = value
