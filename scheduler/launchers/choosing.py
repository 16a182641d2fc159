"""Which launcher the settings name."""

from collections.abc import Callable

from scheduler.children import Children
from scheduler.launchers.kubectl import Kubectl
from scheduler.launchers.kubernetes import KubernetesJobs
from scheduler.launchers.ray import RayChildren
from scheduler.launchers.torchrun import TorchrunChildren
from services.domain.ports import Clock, ModelRegistry
from services.domain.ports.training import TrainingRuns
from services.settings import Settings


def chosen_launcher(
    settings: Settings,
    children: Children,
    registry: ModelRegistry,
    training_runs: TrainingRuns,
    clock: Clock,
    pause: Callable[[float], object],
) -> Children:
    """children: those of this machine, for the launchers that start one there."""
    launchers = settings.launchers
    match settings.night.launcher:
        case "local":
            return children
        case "torchrun":
            return TorchrunChildren(launchers.torchrun_processes)
        case "ray":
            return RayChildren(children, launchers.ray_workers, launchers.ray_address)
        case "kubernetes":
            kubectl = Kubectl(settings.kubernetes.namespace)
            return KubernetesJobs(kubectl, registry, training_runs, settings, clock, pause)
