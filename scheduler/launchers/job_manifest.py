"""The Kubernetes Job of a training: everything that `kubectl apply` needs to know, and nothing secret."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import SecretStr

from scheduler.children import Task
from scheduler.launchers.torchrun import torchrun_command
from services.bundle_wiring import trusted_keys
from services.settings import Settings
from services.settings.launchers import KubernetesSettings

CONTAINER: Final = "training"
GPU: Final = "nvidia.com/gpu"
MAX_NAME: Final = 63  # of a label, which the pods' names and labels are made from
HASH_CHARS: Final = 8
LABELS: Final = {"app.kubernetes.io/name": "nightjar", "app.kubernetes.io/component": "training"}
SECTIONS: Final = ("redis", "bundles", "log", "train")
"""Of the settings: those that a training goes by, apart from the challengers."""


def origin_of(task: Task) -> str:
    """Whose work a training is, such as night-12/warm."""
    arguments = list(task.arguments)
    return str(arguments[arguments.index("--origin") + 1])


def job_name(origin: str, night_time: datetime) -> str:
    """The same for every try of a night's challenger, and another one for another night of that number."""
    digest = hashlib.sha256(f"{origin} {night_time.isoformat(timespec='seconds')}".encode()).hexdigest()[:HASH_CHARS]
    words = re.sub("[^a-z0-9]+", "-", f"nightjar-{origin}".lower())[: MAX_NAME - HASH_CHARS - 1]
    return f"{words.strip('-')}-{digest}"


def job_manifest(task: Task, name: str, timeout_s: float, settings: Settings) -> dict[str, Any]:
    """As the API has it (batch/v1). The name and timeout_s, which becomes the Job's own deadline, are the caller's."""
    kubernetes = settings.kubernetes
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": kubernetes.namespace,
            "labels": dict(LABELS),
            "annotations": {"nightjar/origin": origin_of(task)},
        },
        "spec": {
            "backoffLimit": 0,  # the night tries again itself, and says so
            "activeDeadlineSeconds": int(timeout_s),
            "ttlSecondsAfterFinished": kubernetes.ttl_after_finished_s,
            "template": {"metadata": {"labels": dict(LABELS)}, "spec": _pod(task, settings)},
        },
    }


def in_yaml(manifest: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(manifest), sort_keys=False, width=120))


def _pod(task: Task, settings: Settings) -> dict[str, Any]:
    kubernetes = settings.kubernetes
    user = kubernetes.run_as_user
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": user,
            "fsGroup": user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(task, settings)],
        "volumes": [
            {"name": "home", "persistentVolumeClaim": {"claimName": kubernetes.home_claim}},
            # Processes of one training pass tensors through it; the runtime's own is 64 MiB. Counts as memory.
            {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
        ],
    }
    if kubernetes.service_account is not None:
        pod["serviceAccountName"] = kubernetes.service_account
    if kubernetes.node_selector:
        pod["nodeSelector"] = dict(kubernetes.node_selector)
    if kubernetes.tolerations:
        pod["tolerations"] = [each.model_dump(exclude_none=True) for each in kubernetes.tolerations]
    return pod


def _container(task: Task, settings: Settings) -> dict[str, Any]:
    kubernetes = settings.kubernetes
    return {
        "name": CONTAINER,
        "image": kubernetes.image,
        "command": _command(task, kubernetes.gpus),
        "env": [{"name": name, "value": value} for name, value in sorted(_environment(settings).items())],
        "envFrom": [{"secretRef": {"name": name}} for name in kubernetes.env_secrets],
        "resources": _resources(kubernetes),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "home", "mountPath": kubernetes.home_path},
            {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108 - in the pod, where the runtime has it
        ],
    }


def _command(task: Task, num_processes: int) -> list[str]:
    if num_processes > 1:
        return torchrun_command(task, num_processes, python="python")
    return ["python", "-m", task.module, *task.arguments]


def _resources(kubernetes: KubernetesSettings) -> dict[str, Any]:
    """No limit on the CPU: it would hold a training back on a node with cores to spare."""
    gpus = {GPU: str(kubernetes.gpus)} if kubernetes.gpus else {}
    return {
        "requests": {"cpu": kubernetes.cpu, "memory": kubernetes.memory, **gpus},
        "limits": {"memory": kubernetes.memory, **gpus},
    }


def _environment(settings: Settings) -> dict[str, str]:
    """What the operator set for training, so that a Job trains as a local process would; without secrets and files."""
    spelled = {"NIGHTJAR_LOG_LEVEL": settings.log_level, "NIGHTJAR_HOME": settings.kubernetes.home_path}
    if "event_types" in settings.model_fields_set:
        spelled["NIGHTJAR_EVENT_TYPES"] = json.dumps(settings.model_dump(mode="json")["event_types"])
    if "challengers" in settings.schedule.model_fields_set:
        dumped = settings.schedule.model_dump(mode="json", exclude_unset=True)
        spelled["NIGHTJAR_SCHEDULE__CHALLENGERS"] = json.dumps(dumped["challengers"])
    for name in SECTIONS:
        section = getattr(settings, name)
        for field, value in section.model_dump(mode="json", exclude_unset=True).items():
            if value is not None and not _stays_here(field, getattr(section, field)):
                spelled[f"NIGHTJAR_{name}__{field}".upper()] = value if isinstance(value, str) else json.dumps(value)
    if trusted := trusted_keys(settings.bundles):  # those of a file, too: a pod that trusts all would start from all
        spelled["NIGHTJAR_BUNDLES__TRUSTED_KEYS"] = json.dumps(trusted)
    return {**spelled, **settings.kubernetes.env}


def _stays_here(field: str, value: object) -> bool:
    """Secrets come from the cluster's own; a file that holds one is on this machine."""
    holds_secrets = isinstance(value, Mapping) and any(isinstance(part, SecretStr) for part in value.values())
    return isinstance(value, SecretStr) or holds_secrets or (field.endswith("_file") and isinstance(value, Path))
