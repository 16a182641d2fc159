"""What a worker keeps of its own answers: for as long as a cached answer lives, and no more than so many."""

from services.domain.ids import ModelVersion
from services.domain.recommendations import Recommendation, Source
from services.inference.answer_memory import AnswerMemory


class Timer:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def answer(version: str = "v1") -> Recommendation:
    return Recommendation((), ModelVersion(version), "history", "", Source.MODEL)


def test_an_answer_is_found_again_until_it_is_too_old() -> None:
    """Law 7: it lives no longer than a cached one, whoever asks for it."""
    timer, kept = Timer(), answer()
    memory = AnswerMemory(10, timer=timer)
    memory.put(b"key", kept)
    timer.now_s += 9.9
    assert memory.get(b"key") is kept
    assert memory.get(b"other") is None
    timer.now_s += 0.2
    assert memory.get(b"key") is None


def test_what_is_too_old_is_let_go_of_though_nobody_asks() -> None:
    timer = Timer()
    memory = AnswerMemory(10, timer=timer)
    memory.put(b"old", answer())
    timer.now_s += 5
    memory.put(b"new", answer())
    timer.now_s += 6
    memory.forget_old()
    assert len(memory) == 1
    assert memory.get(b"new") is not None


def test_it_keeps_the_newest_and_no_more_than_so_many() -> None:
    """Law 9."""
    memory = AnswerMemory(10, num_kept=3, timer=Timer())
    for number in range(5):
        memory.put(b"%d" % number, answer())
    memory.put(b"2", answer("v2"))
    memory.put(b"5", answer())
    assert [memory.get(b"%d" % number) is not None for number in range(6)] == [False, False, True, False, True, True]
