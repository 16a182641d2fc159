"""The connection that sends together what is asked together: every answer finds who asked, whatever happens between."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from services.adapters.redis_store.pipelined import MAX_WAITING, PipelinedConnection


class Wire(asyncio.Transport):
    """What was written, and whether it was broken off."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def abort(self) -> None:
        self.is_aborted = True


def connected(timeout_s: float = 60.0) -> tuple[PipelinedConnection, Wire]:
    connection, wire = PipelinedConnection(timeout_s), Wire()
    connection.connection_made(wire)
    return connection, wire


async def next_turn() -> None:
    await asyncio.sleep(0)


async def test_what_is_asked_in_one_turn_of_the_loop_goes_out_in_one_write() -> None:
    connection, wire = connected()
    answers = [connection.ask("GET", str(number)) for number in range(3)]
    answers.append(connection.ask_at_once([("GET", "a"), ("GET", "b")]))
    assert wire.writes == []
    await next_turn()
    assert len(wire.writes) == 1
    assert wire.writes[0].count(b"\r\nGET\r\n") == 5
    connection.ask("GET", "later")
    await next_turn()
    assert len(wire.writes) == 2
    for answer in answers:
        answer.cancel()


# A question: what it is answered with on the wire, and what whoever asked must get; None: an error.
replies = st.one_of(
    st.binary(max_size=20).map(lambda data: (b"$%d\r\n%s\r\n" % (len(data), data), data)),
    st.integers(-9, 9).map(lambda number: (b":%d\r\n" % number, number)),
    st.just((b"$-1\r\n", None)),
    st.lists(st.binary(max_size=3), max_size=3).map(
        lambda each: (b"*%d\r\n" % len(each) + b"".join(b"$%d\r\n%s\r\n" % (len(d), d) for d in each), each)
    ),
    st.sampled_from([b"ERR no", b"MOVED 1 h:2", b"ASK 1 h:2", b"CLUSTERDOWN x"]).map(
        lambda text: (b"-" + text + b"\r\n", ValueError(text.decode()))
    ),
)


@given(st.lists(st.tuples(replies, st.booleans()), max_size=12), st.data())
def test_every_answer_finds_who_asked_however_the_bytes_arrive(
    asked: Sequence[tuple[tuple[bytes, object], bool]], data: st.DataObject
) -> None:
    """Some have given up before; their answers are nobody else's."""
    stream = b"".join(reply for (reply, _), _ in asked)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))

    async def run() -> None:
        connection, _ = connected()
        answers = [connection.ask("GET", "x") for _ in asked]
        for answer, (_, gives_up) in zip(answers, asked, strict=True):
            if gives_up:
                answer.cancel()
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            connection.data_received(stream[start:end])
        for answer, ((_, expected), gives_up) in zip(answers, asked, strict=True):
            if gives_up:
                assert answer.cancelled()
            elif isinstance(expected, ValueError):
                with pytest.raises((ResponseError, MovedError, AskError, ClusterDownError)):
                    answer.result()
            else:
                assert answer.result() == expected
        assert connection.is_open
        connection.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (b"+OK\r\n-ERR no such command\r\n+QUEUED\r\n-EXECABORT refused\r\n", "no such command"),
        (b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n-WRONGTYPE not a set\r\n", "WRONGTYPE"),
    ],
    ids=["a command that is refused", "a command that fails"],
)
async def test_a_transaction_fails_with_its_first_error(stream: bytes, kind: str) -> None:
    connection, _ = connected()
    answer, next_one = connection.ask_at_once([("A",), ("B",)]), connection.ask("GET", "x")
    connection.data_received(stream + b"$1\r\ny\r\n")
    with pytest.raises(ResponseError, match=kind):
        await answer
    assert await next_one == b"y"


@pytest.mark.parametrize(
    "breaks",
    [
        lambda connection: connection.connection_lost(None),
        lambda connection: connection.connection_lost(ConnectionResetError()),
        lambda connection: connection.data_received(b"HTTP/1.1 400 Bad Request\r\n"),
        lambda connection: connection.data_received(b"$1\r\na\r\n" * 3),
        lambda connection: connection.close(),
    ],
    ids=["closed", "reset", "no Redis", "an answer too many", "given up"],
)
async def test_who_waits_on_a_connection_that_ends_hears_of_it(breaks: Callable[[PipelinedConnection], None]) -> None:
    connection, _ = connected()
    answers = [connection.ask("GET", "x"), connection.ask("GET", "y")]
    breaks(connection)
    assert not connection.is_open
    for answer in answers:
        assert answer.done()
        assert answer.exception() is None or isinstance(answer.exception(), RedisConnectionError)
    with pytest.raises(RedisConnectionError):
        await connection.ask("GET", "z")
    await next_turn()  # nothing is written to a connection that is gone


async def test_a_silent_server_is_given_up_and_all_who_wait_are_told() -> None:
    connection, wire = connected(timeout_s=0.01)
    answers = [connection.ask("GET", "x"), connection.ask("GET", "y")]
    for answer in answers:
        with pytest.raises(TimeoutError, match="silent"):
            await answer
    assert wire.is_aborted
    assert isinstance(await connection.lost, TimeoutError)


async def test_a_slow_answer_fails_one_question_and_is_not_the_next_ones() -> None:
    """While other answers come in the connection is no dead one."""
    connection, wire = connected(timeout_s=0.05)
    late = connection.ask("GET", "late")

    async def others_are_answered() -> None:
        """A server that answers in pieces: bytes keep coming, the answer is not whole yet."""
        connection.data_received(b"$4\r\n")
        for piece in (b"l", b"a", b"t"):
            await asyncio.wait([late], timeout=0.02)
            connection.data_received(piece)

    feeding = asyncio.create_task(others_are_answered())
    with pytest.raises(TimeoutError, match="did not answer"):
        await late
    await feeding
    assert connection.is_open
    assert not wire.is_aborted
    next_one = connection.ask("GET", "next")
    connection.data_received(b"e\r\n$4\r\nnext\r\n")
    assert await next_one == b"next"
    connection.close()


async def test_so_many_may_wait_and_no_more() -> None:
    """Law 9."""
    connection, _ = connected()
    for _ in range(MAX_WAITING):
        connection.ask("GET", "x").cancel()
    with pytest.raises(RedisConnectionError, match="too many"):
        await connection.ask("GET", "x")
    connection.close()
