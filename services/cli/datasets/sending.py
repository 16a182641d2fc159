"""Sends a data set through Kafka, with the project's own producer."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from nightjar import EventProducer
from nightjar.v1 import item_pb2
from services.cli.datasets.dataset import Dataset
from services.domain.items import Item
from services.ingest.pacing import to_message

REPORT_EVERY: Final = 1_000


def send(dataset: Dataset, producer: EventProducer, on_progress: Callable[[int], None] = lambda _: None) -> int:
    """Sends the items, then the events in order; returns how many events Kafka has taken, once it has them all.

    on_progress: called with the number of events sent so far. Raises what EventProducer raises.
    """
    for item in dataset.items:
        producer.send_item(item_message(item))
    for num_sent, event in enumerate(dataset.events, start=1):
        producer.send(to_message(event))
        if num_sent % REPORT_EVERY == 0:
            on_progress(num_sent)
    producer.flush()
    on_progress(len(dataset.events))
    return len(dataset.events)


def item_message(item: Item) -> item_pb2.Item:
    """The domain's item as the wire's."""
    price, availability = item.price, item.availability
    message = item_pb2.Item(
        item_id=item.item_id,
        title=item.title,
        categories=item.categories,
        attributes=item.attributes,
        description=item.description,
        tags=item.tags,
        price=None if price is None else item_pb2.Price(**asdict(price)),
        hidden=availability.hidden,
        embedding=item.embedding,
    )
    message.update_time.FromMicroseconds(item.update_time_us)
    if availability.from_us is not None:
        message.available_from_time.FromMicroseconds(availability.from_us)
    if availability.until_us is not None:
        message.available_until_time.FromMicroseconds(availability.until_us)
    return message
