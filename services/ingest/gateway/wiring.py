"""Puts the gateway together: settings, Kafka, the servicer and its server."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import grpc

from nightjar.producer import EventProducer
from services.domain.clock import SystemClock
from services.domain.errors import InvalidSettings
from services.ingest.codec import Limits
from services.ingest.gateway.kafka_sender import KafkaSender
from services.ingest.gateway.publishing import Publisher
from services.ingest.gateway.recorder import GatewayRecorder
from services.ingest.gateway.room import Room
from services.ingest.gateway.server import Health, build_server
from services.ingest.gateway.servicer import EventServicer
from services.settings import Settings

CONNECT_TIMEOUT_S: Final = 5.0  # larger: slow to stop while Kafka is away; smaller: a slow cluster is never reached
MAX_BLOCK_S: Final = 2.0  # for the topic's partitions; larger: all wait for one; smaller: a slow cluster is refused


@dataclass(frozen=True)
class Parts:
    """What the gateway runs; the server and the publisher belong to the loop in which `build` was called."""

    server: grpc.aio.Server
    health: Health
    sender: KafkaSender
    thread: ThreadPoolExecutor


def build(settings: Settings) -> Parts:
    """Nothing is connected yet. Raises InvalidSettings when no Kafka is named."""
    gateway = settings.gateway
    sender = KafkaSender(_producer_of(settings))
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sender")
    recorder, health = GatewayRecorder(), Health()
    publisher = Publisher(
        sender,
        SystemClock(),
        thread,
        Room(gateway.max_buffer_bytes),
        types=settings.declared_event_types(),
        limits=Limits(settings.ingest.max_record_bytes, settings.ingest.max_future_s * 1_000_000),
        answer_timeout_s=gateway.answer_timeout_s,
    )
    servicer = EventServicer(
        publisher,
        recorder,
        max_request_events=gateway.max_request_events,
        max_stream_events=gateway.max_stream_events,
        stream_idle_timeout_s=gateway.stream_idle_timeout_s,
    )
    server = build_server(
        servicer, health, recorder, max_request_bytes=gateway.max_request_bytes, max_calls=gateway.max_calls
    )
    return Parts(server, health, sender, thread)


def _producer_of(settings: Settings) -> Callable[[], EventProducer]:
    if settings.kafka.bootstrap_servers is None:
        raise InvalidSettings(
            "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS is unset; `nightjar up` sets it, or name your own cluster."
        )
    return partial(
        EventProducer,
        settings.kafka.bootstrap_servers,
        events_topic=settings.kafka.events_topic,
        items_topic=settings.kafka.items_topic,
        max_buffer_bytes=settings.gateway.max_buffer_bytes,
        max_block_s=MAX_BLOCK_S,
        connect_timeout_s=CONNECT_TIMEOUT_S,
        # Before the answer is due, so that it can say why.
        delivery_timeout_s=settings.gateway.answer_timeout_s * 0.9,
    )
