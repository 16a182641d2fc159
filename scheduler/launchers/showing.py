"""The Job of a night that is yet to come, for an operator to look at."""

from datetime import UTC, datetime

from scheduler.facts import PIN, Facts
from scheduler.launchers.job_manifest import in_yaml, job_manifest, job_name, origin_of
from scheduler.steps.challengers import training_task
from services.domain.errors import InvalidSettings
from services.settings import Settings


def shown_manifest(settings: Settings, challenger: str, night: int, data_version: int) -> str:
    """In YAML. Raises InvalidRequest for an unknown challenger, InvalidSettings where the image or claim is not set."""
    settings.of_challenger(challenger)
    if settings.kubernetes.image is None or settings.kubernetes.home_claim is None:
        raise InvalidSettings("Set NIGHTJAR_KUBERNETES__IMAGE and NIGHTJAR_KUBERNETES__HOME_CLAIM to see the Job.")
    task = training_task(Facts(night, {PIN: {"data_version": data_version}}), challenger)
    name = job_name(origin_of(task), datetime.now(UTC))
    return in_yaml(job_manifest(task, name, settings.schedule.train_timeout_s, settings))
