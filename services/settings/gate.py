"""The gate's thresholds; what each rule computes is in `services/registry/gate.py`."""

from pydantic import Field

from services.settings.section import Section


class GateSettings(Section):
    min_gain_over_popularity: float = Field(default=0.0, ge=-1, le=1)
    """The lower end of the interval of NDCG@10 minus popularity's must be above this."""
    min_coverage: float = Field(default=0.01, ge=0, le=1)
    """Least share of the catalogue that appears in somebody's top 10."""
    max_gini: float = Field(default=0.9995, ge=0, le=1)
    """How unevenly the top 10 may show the catalogue: 0 is evenly, 1 a single item for everybody."""
    min_holdout_users: int = Field(default=30, ge=1, le=10_000_000)
    """Least users in the holdout. Smaller: the interval rests on so few that chance passes a model; 1 is off."""
    max_loss_to_champion: float = Field(default=0.1, ge=0, le=10)
    """How much worse than the live model a new one may be, as a share of the live one's NDCG@10: the lower end of the
    paired interval must not be below it. Smaller: nights with few held-out users are refused though nothing is wrong;
    larger: a decline over many nights goes unseen."""
    max_slice_loss_to_champion: float = Field(default=0.25, ge=0, le=10)
    """The same for users of few events and for items that few choose, when the loss cannot be chance: of slices the
    interval's upper end must be below 0 as well, since on a small shop it is wider than any margin."""
    min_slice_users: int = Field(default=100, ge=1, le=10_000_000)
    """Users below which a slice says too little to be judged."""
    max_changed_share: float = Field(default=0.95, ge=0, le=1)
    """Share of a user's top 10 that may differ from the live model's; beyond it an operator must promote."""
    min_vocabulary_overlap: float = Field(default=0.8, ge=0, le=1)
    """Least share of the events of the live model's items whose items the new one knows."""
    min_index_recall: float = Field(default=0.99, ge=0, le=1)
    """Least share of the exact top 10 that the way of serving finds."""
    max_plan_p99_ms: float = Field(default=20.0, gt=0)
    """Most milliseconds of a core, p99, to rank the items for one user; time that others take is not counted."""
