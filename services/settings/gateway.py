"""The way in for those who cannot reach Kafka: where the gRPC gateway listens, and what it takes at once."""

from pydantic import Field

from services.settings.section import Section


class GatewaySettings(Section):
    host: str = "127.0.0.1"
    """Address the gateway listens on; 0.0.0.0 for all."""
    port: int = Field(default=50052, ge=0, le=65535)
    """Port of the gateway; 0 picks a free one."""
    max_request_events: int = Field(default=1_000, ge=1, le=100_000)
    """Events in one request, or in one message of a stream. Larger: one request holds the others up for longer."""
    max_request_bytes: int = Field(default=4_194_304, ge=1_048_576, le=64 * 1_048_576)
    """Bytes of one request, or of one message of a stream; gRPC refuses a larger one."""
    max_stream_events: int = Field(default=50_000, ge=1, le=10_000_000)
    """Events in one stream. A result takes 34 bytes of the answer and those of its event_id, and all of them may take
    3.5 MiB: 50,000 with 36 characters each take 3.3, so a larger number helps short ids alone. Until the answer each
    has a result in memory, some 200 bytes, at worst 3 KB, and each message 700 bytes."""
    stream_idle_timeout_s: float = Field(default=60.0, gt=0, le=86_400)
    """Longest wait for the next event of a stream, seconds; empty messages count for nothing. Larger: idle streams take
    the calls of others for longer; smaller: a producer that streams as things happen opens streams more often."""
    max_calls: int = Field(default=128, ge=1, le=100_000)
    """Calls at once, streams included; beyond it gRPC refuses. Memory: this times max_request_bytes, and results."""
    max_buffer_bytes: int = Field(default=64 * 1_048_576, ge=8 * 1_048_576)
    """Events on their way to Kafka, bytes, with 1,600 for each event's own keeping. Full: calls are refused."""
    answer_timeout_s: float = Field(default=10.0, ge=1, le=600)
    """Longest wait for Kafka's word, seconds; what is not acknowledged by then is answered as not stored."""
    drain_s: float = Field(default=5.0, ge=0, le=600)
    """How long running calls may take to finish at a stop, seconds."""
