"""Notices of a changed live model: one that remembers, one that always fails."""


class RecordingNotice:
    def __init__(self) -> None:
        self.generations: list[int] = []

    def announce(self, generation: int) -> None:
        self.generations.append(generation)


class BrokenNotice:
    def announce(self, generation: int) -> None:
        raise ConnectionError("nobody listens")
