"""The offline log as a Delta Lake table."""

from services.adapters.delta_log.log import DeltaEventLog

__all__ = ["DeltaEventLog"]
