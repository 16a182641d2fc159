"""How serving reaches a real Redis: many at once over one connection, through every kind of trouble."""

import asyncio
import datetime
import ssl
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from services.adapters.redis_store import RedisStore
from services.adapters.redis_store.link import FAILURES, PAUSE_S
from tests.cut_off import Relay, relay
from tests.redis_cluster import move_slot

pytestmark = pytest.mark.redis

TIMEOUT_S = 0.5
KEY = b"nj:{test}:x"


@pytest.fixture
async def way(redis_url: str) -> AsyncIterator[Relay]:
    async with relay(urlsplit(redis_url).port or 0) as made:
        yield made


@pytest.fixture
async def store(way: Relay) -> AsyncIterator[RedisStore]:
    made = RedisStore(f"redis://127.0.0.1:{way.port}/0", TIMEOUT_S)
    await made.ask(KEY, "PING")
    yield made
    await made.aclose()


# What is asked at the same time as the others: a value that is written and read back, alone or as a transaction, one
# that fails, and one whose asker goes away.
questions = st.lists(st.sampled_from(["alone", "at once", "fails", "goes away"]), min_size=1, max_size=40)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=questions)
async def test_many_at_once_get_each_their_own_answers(redis_url: str, asked: Sequence[str]) -> None:
    store, run = RedisStore(redis_url, timeout_s=5), uuid.uuid4().hex

    async def ask(number: int, kind: str) -> None:
        key, value = f"{{{run}}}{number}".encode(), f"value {number}".encode()
        if kind == "alone":
            await store.ask(key, "SET", key, value, "EX", 5)
            assert await store.ask(key, "GET", key) == value
        elif kind == "at once":
            commands = [("SET", key, value, "EX", 5), ("GET", key), ("STRLEN", key)]
            assert await store.ask_at_once(key, commands) == [b"OK", value, len(value)]
        elif kind == "fails":
            with pytest.raises(ResponseError):
                await store.ask(key, "GET")
        else:
            task = asyncio.create_task(store.ask(key, "GET", key))
            await asyncio.sleep(0)
            task.cancel()

    await asyncio.gather(*(ask(number, kind) for number, kind in enumerate(asked)))
    await store.aclose()


async def test_a_connection_that_was_cut_off_between_two_questions_costs_nobody_an_answer(
    store: RedisStore, way: Relay
) -> None:
    for _ in range(3):
        way.cut_off()
        assert await store.ask(KEY, "PING") == b"PONG"
    assert way.num_connections == 4


async def test_a_connection_that_is_cut_off_while_many_wait_costs_nobody_an_answer(
    store: RedisStore, way: Relay
) -> None:
    way.hang()
    waiting = [asyncio.create_task(store.ask(KEY, "PING")) for _ in range(50)]
    await asyncio.sleep(0)
    way.cut_off()
    way.flow()
    assert await asyncio.gather(*waiting) == [b"PONG"] * 50


async def test_while_it_is_away_questions_fail_at_once_and_when_it_is_back_they_are_answered(
    store: RedisStore, way: Relay
) -> None:
    """Law 6: it degrades an answer, and delays none. Nobody has to ask for it to be found again."""
    await way.close()
    with pytest.raises(FAILURES):
        await store.ask(KEY, "PING")
    loop = asyncio.get_running_loop()
    start = loop.time()
    for _ in range(100):
        with pytest.raises(RedisConnectionError, match=r"Redis is away: .*Connect"):
            await store.ask(KEY, "PING")
    assert loop.time() - start < PAUSE_S
    way.was_asked.clear()
    await way.open()
    await asyncio.wait_for(way.was_asked.wait(), timeout=30)
    assert await _soon(store) == b"PONG"


async def test_one_that_hangs_costs_its_timeout_and_is_found_again(store: RedisStore, way: Relay) -> None:
    way.hang()
    waiting = [asyncio.create_task(store.ask(KEY, "PING")) for _ in range(20)]
    assert all(isinstance(each, TimeoutError) for each in await asyncio.gather(*waiting, return_exceptions=True))
    way.flow()
    assert await _soon(store) == b"PONG"


async def test_closing_it_ends_what_is_under_way(store: RedisStore, way: Relay) -> None:
    way.hang()
    waiting = asyncio.create_task(store.ask(KEY, "PING"))
    await asyncio.sleep(0)
    await store.aclose()
    with pytest.raises(FAILURES):
        await waiting
    with pytest.raises(FAILURES):
        await store.ask(KEY, "PING")


async def test_the_password_the_user_and_the_database_of_the_address_count(redis_url: str, way: Relay) -> None:
    name, word = f"user-{uuid.uuid4().hex}", "it is: s@cret"
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("ACL", "SETUSER", name, "on", f">{word}", "~*", "+@all")
        try:
            address = f"redis://{name}:it%20is%3A%20s%40cret@127.0.0.1:{way.port}"
            own = RedisStore(f"{address}/7", TIMEOUT_S)
            assert await own.ask(KEY, "ACL", "WHOAMI") == name.encode()
            assert b"db=7 " in await own.ask(KEY, "CLIENT", "INFO")
            await own.aclose()
            wrong = RedisStore(f"redis://{name}:wrong@127.0.0.1:{way.port}/0", TIMEOUT_S)
            with pytest.raises((AuthenticationError, RedisError)):
                await wrong.ask(KEY, "PING")
            await wrong.aclose()
        finally:
            client.execute_command("ACL", "DELUSER", name)


async def test_tls_is_spoken_and_the_certificate_checked(redis_url: str, tmp_path: Path) -> None:
    certificate, context = _certified(tmp_path)
    async with relay(urlsplit(redis_url).port or 0, context) as way:
        trusting = RedisStore(f"rediss://localhost:{way.port}/0?ssl_ca_certs={certificate}", timeout_s=5)
        assert await trusting.ask(KEY, "PING") == b"PONG"
        await trusting.aclose()
        careful = RedisStore(f"rediss://localhost:{way.port}/0", timeout_s=5)
        with pytest.raises(ssl.SSLCertVerificationError):
            await careful.ask(KEY, "PING")
        await careful.aclose()


async def test_a_slot_that_moved_is_asked_where_it_is(redis_cluster_url: str) -> None:
    key = f"nj:{{{uuid.uuid4().hex}}}:x".encode()
    store = RedisStore(redis_cluster_url, timeout_s=5)
    assert await store.ask(key, "GET", key) is None
    await asyncio.to_thread(move_slot, redis_cluster_url, key)
    assert await store.ask_at_once(key, [("SET", key, "1", "EX", 5), ("GET", key)]) == [b"OK", b"1"]
    await store.aclose()


async def _soon(store: RedisStore) -> object:
    """The answer, once it is connected again; a question fails at once until then."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await store.ask(KEY, "PING")
            except FAILURES:
                await asyncio.sleep(0)


def _certified(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost that vouches for itself, and a server's context with it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return certificate, context
