"""A ResultCache in memory, without an end to what it keeps."""


class FakeResultCache:
    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    async def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    async def put(self, key: bytes, value: bytes) -> None:
        self.values[key] = value
