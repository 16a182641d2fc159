"""The Kubernetes Job of a training, field by field: what it runs, as whom, for how long, and what it is not told."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from scheduler.children import Task
from scheduler.launchers.job_manifest import in_yaml, job_manifest, job_name, origin_of
from services.cli.main import run
from services.domain.errors import InvalidSettings
from services.settings import Settings, load
from tests.fakes.signing import public

TASK = Task("services.training", ("--trigger", "nightly", "--challenger", "warm", "--origin", "night-12/warm"))
NIGHT_TIME = datetime(2026, 1, 31, 2, tzinfo=UTC)
SECRET = "hunter2"


def settings(**kubernetes: Any) -> Settings:
    return Settings.model_validate(
        {
            "database": {"url": f"postgresql://u:{SECRET}@db/nightjar"},
            "redis": {"url": f"redis://:{SECRET}@redis:6379", "max_history": 300},
            "bundles": {"url": "s3://models/nightjar", "options": {"secret_access_key": SECRET}},
            "train": {"dim": 64, "options": {"l2": 3}},
            "schedule": {"challengers": [{"name": "warm", "mode": "incremental"}]},
            "night": {"launcher": "kubernetes"},
            "kubernetes": {"image": "registry.example/nightjar:1", "home_claim": "nightjar-home", **kubernetes},
        }
    )


def rendered(**kubernetes: Any) -> dict[str, Any]:
    """As kubectl reads it."""
    text = in_yaml(job_manifest(TASK, "nightjar-night-12-warm-0", 3_600.0, settings(**kubernetes)))
    assert SECRET not in text
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def pod(manifest: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return spec


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod(manifest)["containers"]
    assert isinstance(only, dict)
    return only


def test_a_job_is_one_try_that_ends_in_time_and_is_cleaned_away() -> None:
    job = rendered(namespace="ml", ttl_after_finished_s=7_200)
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert (job["metadata"]["name"], job["metadata"]["namespace"]) == ("nightjar-night-12-warm-0", "ml")
    assert job["metadata"]["annotations"] == {"nightjar/origin": "night-12/warm"}
    assert job["metadata"]["labels"] == job["spec"]["template"]["metadata"]["labels"]
    limits = {name: value for name, value in job["spec"].items() if name != "template"}
    assert limits == {"backoffLimit": 0, "activeDeadlineSeconds": 3_600, "ttlSecondsAfterFinished": 7_200}
    assert pod(job)["restartPolicy"] == "Never"


EVERYTHING: dict[str, Any] = {
    "namespace": "ml",
    "service_account": "trainer",
    "node_selector": {"pool": "gpu"},
    "tolerations": [{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoExecute"}, {"operator": "Exists"}],
    "env_secrets": ["nightjar"],
    "env": {"AWS_REGION": "eu-central-1"},
    "gpus": 2,
}


@pytest.mark.parametrize("version", ["1.25.0", "1.37.0"])
@pytest.mark.parametrize("kubernetes", [{}, EVERYTHING], ids=["least", "everything"])
def test_it_is_a_job_by_the_schemas_of_kubernetes(kubernetes: dict[str, Any], version: str) -> None:
    """Strictly, so that a field of another name or in another place is seen."""
    job = rendered(**kubernetes)
    kubernetes_validate.validate(job, version, strict=True)
    job["spec"]["template"]["spec"]["restartPolicies"] = "Never"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, version, strict=True)


def test_its_pod_is_nobody_special() -> None:
    job = rendered(run_as_user=4_711)
    assert pod(job)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 4_711,
        "runAsGroup": 4_711,
        "fsGroup": 4_711,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(job)["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert pod(job)["automountServiceAccountToken"] is False
    assert {"serviceAccountName", "nodeSelector", "tolerations"}.isdisjoint(pod(job))


def test_it_runs_where_the_operator_says() -> None:
    job = rendered(
        service_account="trainer",
        node_selector={"pool": "gpu"},
        tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    )
    assert pod(job)["serviceAccountName"] == "trainer"
    assert pod(job)["nodeSelector"] == {"pool": "gpu"}
    assert pod(job)["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def test_it_gets_the_arguments_that_a_local_process_gets() -> None:
    assert container(rendered())["command"] == ["python", "-m", TASK.module, *TASK.arguments]


def test_more_gpus_than_one_are_a_process_of_torchrun_each() -> None:
    job = rendered(gpus=2, cpu="8", memory="64Gi")
    start = ["python", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", TASK.module]
    assert container(job)["command"] == [*start, *TASK.arguments]
    assert container(job)["resources"] == {
        "requests": {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "2"},
        "limits": {"memory": "64Gi", "nvidia.com/gpu": "2"},
    }
    assert "nvidia.com/gpu" not in container(rendered())["resources"]["limits"]


def test_it_trains_by_the_settings_of_the_scheduler_and_gets_secrets_from_the_cluster() -> None:
    job = rendered(env_secrets=["nightjar"], env={"NIGHTJAR_LOG_LEVEL": "debug"}, home_path="/data")
    env = {each["name"]: each["value"] for each in container(job)["env"]}
    assert env == {
        "NIGHTJAR_HOME": "/data",
        "NIGHTJAR_LOG_LEVEL": "debug",
        "NIGHTJAR_REDIS__MAX_HISTORY": "300",
        "NIGHTJAR_BUNDLES__URL": "s3://models/nightjar",
        "NIGHTJAR_TRAIN__DIM": "64",
        "NIGHTJAR_TRAIN__OPTIONS": '{"l2": 3}',
        "NIGHTJAR_SCHEDULE__CHALLENGERS": '[{"name": "warm", "mode": "incremental"}]',
    }
    assert container(job)["envFrom"] == [{"secretRef": {"name": "nightjar"}}]
    mounted = {each["name"]: each["mountPath"] for each in container(job)["volumeMounts"]}
    volumes = {each.pop("name"): each for each in pod(job)["volumes"]}
    assert mounted["home"] == "/data"
    assert volumes["home"] == {"persistentVolumeClaim": {"claimName": "nightjar-home"}}
    assert set(mounted) == set(volumes)


def test_what_it_is_told_are_settings_that_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pod's variables and a secret give the settings that the scheduler has, as far as training goes by them."""
    for each in container(rendered())["env"]:
        monkeypatch.setenv(each["name"], each["value"])
    monkeypatch.setenv("NIGHTJAR_DATABASE__URL", "postgresql://db/nightjar")
    loaded, meant = load(), settings()
    assert loaded.of_challenger("warm").train == meant.of_challenger("warm").train
    assert loaded.redis.max_history == meant.redis.max_history


def test_it_trusts_the_keys_that_the_scheduler_trusts_those_of_a_file_too(tmp_path: Path) -> None:
    """Else it would start from whatever lies in the bucket, and sign what comes of it."""
    file = tmp_path / "trusted"
    file.write_text(f"# the old one\n{public(2)}\n")
    given = settings()
    bundles = given.bundles.model_copy(update={"trusted_keys": (public(1),), "trusted_keys_file": file})
    job = job_manifest(TASK, "job", 60.0, given.model_copy(update={"bundles": bundles}))
    env = {each["name"]: each["value"] for each in container(job)["env"]}
    assert json.loads(env["NIGHTJAR_BUNDLES__TRUSTED_KEYS"]) == [public(1), public(2)]


def test_a_signing_key_that_no_job_sees_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NIGHTJAR_NIGHT__LAUNCHER", "kubernetes")
    monkeypatch.setenv("NIGHTJAR_BUNDLES__SIGNING_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(InvalidSettings, match="signing_key_file: is on this machine"):
        load()


def test_a_jobs_name_follows_from_night_and_challenger() -> None:
    """So that a second try finds the first, and a night of another database with that number does not."""
    name = job_name(origin_of(TASK), NIGHT_TIME)
    assert name.startswith("nightjar-night-12-warm-")
    assert job_name("night-12/warm", NIGHT_TIME) == name
    later = NIGHT_TIME.replace(day=30)
    others = {job_name("night-12/warm", later), job_name("night-13/warm", NIGHT_TIME), job_name("night-12-warm", later)}
    assert len(others | {name}) == 4
    long = job_name(f"night-1000/{'a' * 60}", NIGHT_TIME)
    assert len(long) <= 63
    assert long != job_name(f"night-1000/{'a' * 61}", NIGHT_TIME)


def test_what_a_job_lacks_is_said_at_the_start_not_in_the_night(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTJAR_NIGHT__LAUNCHER", "kubernetes")
    with pytest.raises(InvalidSettings) as raised:
        load()
    for words in ("kubernetes.image", "kubernetes.home_claim", "database.url"):
        assert words in str(raised.value)
    monkeypatch.setenv("NIGHTJAR_NIGHT__LAUNCHER", "local")
    assert load().kubernetes.image is None


def test_the_command_prints_the_job_of_a_night_to_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The very manifest, which a person can hand to kubectl; whatever the launcher is."""
    monkeypatch.setenv("NIGHTJAR_KUBERNETES__IMAGE", "registry.example/nightjar:1")
    monkeypatch.setenv("NIGHTJAR_KUBERNETES__HOME_CLAIM", "nightjar-home")
    with pytest.raises(SystemExit) as ended:
        run(["schedule", "job-manifest", "--night", "3", "--data-version", "9"])
    assert ended.value.code == 0
    job = yaml.safe_load(capsys.readouterr().out)
    kubernetes_validate.validate(job, "1.37.0", strict=True)
    arguments = "--trigger nightly --challenger nightly --data-version 9 --origin night-3/nightly"
    assert container(job)["command"][3:] == arguments.split()
    assert job["spec"]["activeDeadlineSeconds"] == Settings().schedule.train_timeout_s


@pytest.mark.parametrize(
    ("arguments", "words"), [([], "NIGHTJAR_KUBERNETES__IMAGE"), (["--challenger", "nobody"], "--challenger")]
)
def test_a_job_that_cannot_be_shown_is_a_misuse(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["schedule", "job-manifest", *arguments])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
