"""Where a night's training runs: processes of torchrun, workers of Ray, or a Kubernetes Job. Which: night.launcher."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from services.settings.section import Section

Launcher = Literal["local", "torchrun", "ray", "kubernetes"]
DnsName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]


class LauncherSettings(Section):
    torchrun_processes: int = Field(default=2, ge=1, le=1_024)
    """Processes of torchrun on this machine, one a GPU. Larger: a step is shared by more, until the cores or GPUs run
    out and they wait for one another; smaller: GPUs stay idle."""
    ray_workers: int = Field(default=2, ge=1, le=1_024)
    """Workers of Ray Train. Larger and smaller: as above, over the cluster; more than it has room for wait for ever,
    until schedule.train_timeout_s ends the step."""
    ray_address: str = Field(default="local", min_length=1, max_length=500)
    """Of a Ray cluster, such as ray://head:10001; local: one of its own, on this machine."""


class TolerationSettings(Section):
    """As in a pod's specification."""

    key: str | None = None
    """The taint's key. Unset: all keys, which wants the operator Exists."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Whether the value counts."""
    value: str | None = None
    """The taint's value; none with Exists."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Unset: all effects."""


class KubernetesSettings(Section):
    image: str | None = Field(default=None, min_length=1, max_length=500)
    """The image that trains: this package with its `train` extra. Required where night.launcher is kubernetes."""
    namespace: Annotated[DnsName, StringConstraints(max_length=63)] = "default"
    """Where the Jobs are made; the scheduler's own account must be allowed to get, create, patch and delete `jobs`
    there, and to get `pods` and `pods/log`."""
    service_account: DnsName | None = None
    """The account the training pod runs as. Unset: the namespace's default one."""
    home_claim: DnsName | None = None
    """The PersistentVolumeClaim that the scheduler has as its home, with the log in it: the pod mounts it too."""
    home_path: str = Field(default="/var/lib/nightjar", pattern=r"^/[^:]*$")
    """Where in the pod it is mounted, and its NIGHTJAR_HOME."""
    env_secrets: tuple[DnsName, ...] = ()
    """Secrets whose keys become the pod's environment, as JSON or TOML: NIGHTJAR_DATABASE__URL must be in one of them,
    and NIGHTJAR_BUNDLES__SIGNING_KEY or the keys of an object storage where you have them."""
    env: Mapping[str, str] = Field(default_factory=dict)
    """Further variables of the pod, in plain sight; they win over what follows from the scheduler's own settings."""
    cpu: Quantity = "4"
    """CPU asked for. Larger: the pod waits for a node with as many free; smaller: training is slower."""
    memory: Quantity = "16Gi"
    """Memory asked for, and its limit. Larger: as above; smaller: training is ended for want of it."""
    gpus: int = Field(default=0, ge=0, le=64)
    """nvidia.com/gpu asked for; with more than one, torchrun starts a process for each. Larger: the pod waits for a
    node that has them; smaller: training is slower."""
    node_selector: Mapping[str, str] = Field(default_factory=dict)
    """Labels a node must have."""
    tolerations: tuple[TolerationSettings, ...] = ()
    """Taints the pod tolerates, such as that of GPU nodes; JSON or TOML tables of key, operator, value, effect."""
    run_as_user: int = Field(default=10_001, ge=1, le=2**31 - 1)
    """User and group id of the pod, never root; they must be able to write to the volume."""
    ttl_after_finished_s: int = Field(default=86_400, ge=600, le=30 * 86_400)
    """Seconds until a finished Job is removed, with its log. Larger: it can be looked at for longer; smaller: a
    scheduler that was away does not find how it ended, and trains again what was not registered."""


def problems(launcher: Launcher, kubernetes: KubernetesSettings, database: Any, bundles: Any) -> list[str]:
    """What keeps the launcher from working, a sentence each. database, bundles: the sections."""
    if launcher != "kubernetes":
        return []
    found = [
        f"kubernetes.{name}: must be set where night.launcher is kubernetes"
        for name in ("image", "home_claim")
        if getattr(kubernetes, name) is None
    ]
    if database.url is None or database.url.get_secret_value().startswith("sqlite"):
        found.append(
            "database.url: must be PostgreSQL where night.launcher is kubernetes; a Job has no other way to it"
        )
    if bundles.signing_key_file is not None:
        found.append(
            "bundles.signing_key_file: is on this machine, where no Job sees it; put the key into a Secret among "
            "kubernetes.env_secrets as NIGHTJAR_BUNDLES__SIGNING_KEY, and unset the file"
        )
    return found
