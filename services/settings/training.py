"""The night: training, the gate, and when it happens."""

from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from services.settings.challengers import NIGHTLY, ChallengerSettings, named_apart
from services.settings.section import Section


def _known_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone name such as 'Europe/Berlin'") from error
    return name


def _known_crontab(expression: str) -> str:
    from services.crontab import night_trigger  # its library is slow to import

    night_trigger(expression, "UTC")
    return expression


class TrainSettings(Section):
    kind: Literal["sequence", "ials", "ease", "item_knn", "gf_cf", "popularity"] = "sequence"
    """The model kind to train."""
    options: dict[str, float | int | bool | None] = Field(default_factory=dict)
    """Of a kind without a network, by the names in `services/training/kinds`: NIGHTJAR_TRAIN__OPTIONS='{"l2": 300}'."""
    dim: int = Field(default=128, ge=4, le=4096, multiple_of=4)
    """Dimension of user and item vectors."""
    num_blocks: int | None = Field(default=None, ge=1, le=24)
    """Transformer blocks. Unset: one, or two where histories are long."""
    num_heads: int = Field(default=2, ge=1, le=64)
    """Attention heads; must divide dim into even parts."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout probability within the blocks while training."""
    input_dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout probability of the input vectors while training. Unset: more, the fewer events an item has."""
    max_history: int = Field(default=100, ge=1, le=2048)
    """Events of a user the model looks at, the newest ones."""
    batch_events: int | None = Field(default=None, ge=1, le=16_777_216)
    """Events in one optimiser step, padding counted. Unset: as many as make some 120 steps an epoch."""
    num_negatives: int = Field(default=1_024, ge=0, le=1_048_576)
    """Items drawn from the catalogue that a step's targets are held against; all of it where it is smaller. 0: all."""
    shard_items: bool | None = None
    """Whether item vectors are brought up to date only when a step needs them, each worker keeping its share of them: a
    step's cost then does not grow with the catalogue. Unset: where a step needs less than a tenth of them."""
    half_life_days: float | None = Field(default=180, gt=0)
    """Days after which a target counts half, where users share a clock; none: all count alike. A shop's fashions want
    weeks, films a year: `nightjar tune` says which."""
    temperature: float = Field(default=0.08, gt=0, le=10)
    """What cosines are divided by in the softmax; smaller: only the nearest items are pushed away."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of matrix products while training. auto: bfloat16 where the processor computes it in hardware, else float32."""
    learning_rate: float = Field(default=2e-3, gt=0, lt=1)
    """Peak learning rate of AdamW; it warms up briefly, then falls to 0 over max_epochs."""
    weight_decay: float = Field(default=0.01, ge=0, lt=10)
    """Weight decay of AdamW, not on embeddings and norms."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target spread over the whole catalogue; 0 is off."""
    max_epochs: int = Field(default=20, ge=1, le=10_000)
    """Epochs at most; the learning rate falls to 0 over them. Training stops earlier when validation gets worse."""
    patience: int = Field(default=5, ge=1, le=1_000)
    """Epochs without a better validation NDCG@10 before training stops."""
    mode: Literal["full", "incremental", "auto"] = "auto"
    """How tonight's model comes about. full: from nothing. incremental: from the newest model, learning what happened
    since. auto: incremental, but full every full_every_days, and where there is nothing to start from. Full is better
    and takes about three times as long (docs/experiments.md): choose it where a night has the time."""
    full_every_days: float = Field(default=7, gt=0, le=3_650)
    """With auto: days after which a model that came about incrementally is built from nothing again."""
    incremental_epochs: int = Field(default=4, ge=1, le=10_000)
    """Epochs of an incremental training."""
    sentence_encoder: Path | None = None
    """Folder of a sentence encoder exported to ONNX (tokenizer.json, model.onnx): what titles and descriptions mean is
    then part of an item's vector. Unset: only the words themselves. Needs the `text` extra."""
    plan: Literal["auto", "float32", "int8", "int4"] = "auto"
    """In what precision the encoder is served. auto: each is measured on the holdout, and the one whose answers take
    least of a core is published, of those that lose at most max_plan_loss. `nightjar models plans` shows all."""
    max_plan_loss: float = Field(default=0.01, ge=0, le=1)
    """With auto: share of NDCG@10 that a plan may lose to the fitted model at the worse end of the paired interval.
    Smaller: with few held-out users all but float32 are refused; larger: answers get worse for less of a core."""
    holdout_fraction: float = Field(default=0.1, gt=0, lt=0.9)
    """Share of the events, the last in time, that are held out to measure the model."""
    validation_fraction: float = Field(default=0.05, gt=0, lt=0.9)
    """Share of the events before the holdout, the last in time, that say when to stop training."""
    min_item_events: int = Field(default=1, ge=1)
    """Items with fewer events in the part the model learns from are left out of the vocabulary."""
    seed: int = Field(default=42, ge=0, le=2**31 - 1)
    """Seed of everything random in a run."""
    max_seconds: float = Field(default=3_600.0, gt=0)
    """Training stops after the epoch in which this many seconds have passed."""

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> Self:
        if self.dim % (2 * self.num_heads):
            raise ValueError(f"num_heads ({self.num_heads}) must divide dim ({self.dim}) into even parts")
        return self


class ScheduleSettings(Section):
    nightly_cron: Annotated[str, AfterValidator(_known_crontab)] = "0 2 * * *"
    """When the nightly run starts: minute hour day month weekday."""
    housekeeping_cron: Annotated[str, AfterValidator(_known_crontab)] = "0 1 * * *"
    """When the log is kept: erasure, retention, compaction. Before the night, so that no model learns of the erased."""
    time_zone: Annotated[str, AfterValidator(_known_time_zone)] = "UTC"
    """The time zone of these cron expressions."""
    misfire_grace_s: int = Field(default=3_600, ge=1)
    """A run missed by at most this many seconds still starts, e.g. after a restart; several missed start one."""
    challengers: Annotated[tuple[ChallengerSettings, ...], AfterValidator(named_apart)] = Field(
        default=(NIGHTLY,), min_length=1, max_length=20
    )
    """The models that a night trains: a name each, and what it changes of the `train` section, as JSON or TOML tables:
    NIGHTJAR_SCHEDULE__CHALLENGERS='[{"name": "warm", "mode": "incremental"}, {"name": "ease", "kind": "ease"}]'."""
    train_timeout_s: int = Field(default=6 * 3_600, ge=1)
    """Seconds after which a training process is ended, with everything it started."""
    host: str = "127.0.0.1"
    """Address on which the scheduler serves ScheduleService; 0.0.0.0 for all, and whoever reaches it may start nights.
    """
    port: int | None = Field(default=None, ge=0, le=65535)
    """Its port; 0 picks a free one. Unset: the service is not served."""
