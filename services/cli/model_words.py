"""How figures of models look, on a screen and in JSON."""

import json
import math
from datetime import datetime
from typing import Any

from services.domain.models import StageCost


def number(value: float) -> str:
    """A count whole, another figure to four digits; a dash for one that is none."""
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if value == int(value if math.isfinite(value) else 0) and abs(value) >= 1 else f"{value:.4f}"


def json_number(value: float) -> float | None:
    """JSON has no word for what is not finite."""
    return value if math.isfinite(value) else None


def moment(time: datetime | None) -> str:
    return "unknown" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def printed(value: Any) -> str:
    """A JSON value in one line."""
    return value if isinstance(value, str) else json.dumps(value)


def cost_line(cost: StageCost) -> str:
    gpu = "" if cost.gpu_s is None else f", {cost.gpu_s:,.1f} s of GPU"
    energy = "" if cost.energy_j is None else f", {cost.energy_j / 3_600:,.2f} Wh"
    return f"{cost.wall_s:,.1f} s, {cost.cpu_s:,.1f} s of CPU{gpu}{energy}"


def cost_document(cost: StageCost) -> dict[str, float | None]:
    return {"wall_s": cost.wall_s, "cpu_s": cost.cpu_s, "gpu_s": cost.gpu_s, "energy_j": cost.energy_j}
