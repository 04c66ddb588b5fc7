"""What the deployment files name exists: settings, modules, ports, configuration."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from services.cli import erasures
from services.cli.app import COMMANDS
from services.embedded.nats import MAY_ERASE, MAY_SERVE
from shared.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
MANIFESTS = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))


def manifests() -> list[dict[str, Any]]:
    return [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text("utf-8"))]


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text("utf-8")))


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for document in manifests():
        if document["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield document["metadata"]["name"], document["spec"]["template"]["spec"]
        elif document["kind"] == "CronJob":
            yield document["metadata"]["name"], document["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def commands() -> Iterator[list[str]]:
    for service in compose()["services"].values():
        if service.get("image") == "milepost":
            yield service["command"]
    for name, pod in pods():
        if name != "nats":
            yield pod["containers"][0]["command"]


@pytest.mark.parametrize(
    "path", [COMPOSE, *MANIFESTS, ROOT / "deploy/README.md", ROOT / "deploy/Containerfile"], ids=lambda path: str(path.name)
)
def test_every_variable_is_a_setting(path):
    named = set(re.findall(rf"\b{PREFIX}[A-Z][A-Z_]*[A-Z]\b", path.read_text("utf-8")))
    assert named <= {PREFIX + name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_every_command_can_be_run(command):
    if command[0] == "milepost":
        assert command[1] in COMMANDS
    else:
        assert command[:2] == ["python", "-m"]
        found = importlib.util.find_spec(command[2])
        assert found is not None
        assert found.submodule_search_locations is None or importlib.util.find_spec(f"{command[2]}.__main__")


@pytest.mark.parametrize("name", ["ingest", "decision", "notify"])
def test_every_port_is_the_service_s_own(name):
    port = Settings.model_fields[f"{name}_port"].default
    assert compose()["services"][name]["ports"] == [f"127.0.0.1:{port}:{port}"]
    pod = dict(pods())[name]
    assert pod["containers"][0]["ports"] == [{"name": "http", "containerPort": port}]


def test_kubernetes_adds_no_variables_of_its_own():
    assert all(pod["enableServiceLinks"] is False for _, pod in pods())


def test_the_compose_file_asks_for_every_variable_of_the_example():
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", COMPOSE.read_text("utf-8")))
    given = set(re.findall(r"^([A-Z_]+)=$", (ROOT / "deploy/example.env").read_text("utf-8"), re.MULTILINE))
    assert asked == given


def test_every_file_that_compose_mounts_exists():
    mounts = [volume.split(":")[0] for service in compose()["services"].values() for volume in service.get("volumes", [])]
    assert all((ROOT / mount).is_file() for mount in mounts if mount.startswith("./"))


@pytest.mark.law("nothing-lost")
@pytest.mark.parametrize("name", ["single.conf", "cluster.conf"])
def test_every_nats_server_syncs_what_it_confirms(name):
    assert "sync_interval: always" in (ROOT / "deploy/nats" / name).read_text("utf-8")


@pytest.mark.law("nothing-lost")
@pytest.mark.parametrize("name", ["single.conf", "cluster.conf"])
def test_on_every_nats_server_services_and_eraser_may_what_they_may_on_the_embedded_one(name):
    text = re.sub(r"^\s*#.*$", "", (ROOT / "deploy/nats" / name).read_text("utf-8"), flags=re.MULTILINE)
    users = re.findall(r'user: "(\w+)", password: \$NATS_\w+_PASSWORD(, permissions: \{ publish: \[[^]]*\] \})? \}', text)
    assert {user: tuple(re.findall(r'"([^"]+)"', may)) for user, may in users if user != "route"} == {
        "service": MAY_SERVE,
        "eraser": MAY_ERASE,
        "owner": (),
    }


def test_only_the_migration_knows_the_owners_and_the_scrub_the_one_of_the_database():
    known = {
        name: {word for word in one.get("environment", {}) if word.startswith("MILEPOST_OWNER")}
        for name, one in compose()["services"].items()
    }
    both = {"MILEPOST_OWNER_DATABASE_URL", "MILEPOST_OWNER_NATS_URL"}
    scrub = {"MILEPOST_OWNER_DATABASE_URL"}
    assert {name: words for name, words in known.items() if words} == {"migrate": both, "scrub": scrub}
    secrets = [(name, source["secretRef"]["name"]) for name, pod in pods() for source in pod["containers"][0].get("envFrom", [])]
    assert [name for name, secret in secrets if secret == "milepost-owner"] == ["migrate"]
    single = [
        (name, one["name"], one["valueFrom"]["secretKeyRef"])
        for name, pod in pods()
        for one in pod["containers"][0].get("env", [])
        if "secretKeyRef" in one.get("valueFrom", {})
    ]
    assert [one for one in single if one[2]["name"] == "milepost-owner"] == [
        ("scrub", "MILEPOST_OWNER_DATABASE_URL", {"name": "milepost-owner", "key": "MILEPOST_OWNER_DATABASE_URL"})
    ]


def test_a_schedule_scrubs_what_erasures_leave_and_compose_runs_the_same_when_asked():
    (cron,) = [document for document in manifests() if document["kind"] == "CronJob"]
    assert len(cron["spec"]["schedule"].split()) == 5 and cron["spec"]["concurrencyPolicy"] == "Forbid"
    scrub = compose()["services"]["scrub"]
    assert scrub["command"] == dict(pods())["scrub"]["containers"][0]["command"] and scrub["profiles"] == ["scrub"]
    # A week and three days to look after a run that failed.
    assert Settings.model_fields["scrub_within_s"].default == 10 * 86_400
    typer.main.get_group(erasures.app).commands["scrub"].make_context("scrub", scrub["command"][3:])


@pytest.mark.law("nothing-lost")
def test_postgres_syncs_what_it_confirms():
    text = (ROOT / "deploy/postgres/postgresql.conf").read_text("utf-8")
    assert all(f"{name} = on" in text for name in ("fsync", "full_page_writes", "synchronous_commit"))


def test_every_pod_that_runs_on_can_be_measured():
    running = {name: pod["containers"][0] for name, pod in pods() if name in ("ingest", "decision", "eraser", "worker", "notify")}
    assert len(running) == 5
    for name, container in running.items():
        (port,) = container["ports"]
        asked = container["command"]
        told = int(asked[asked.index("--metrics-port") + 1]) if "--metrics-port" in asked else port["containerPort"]
        assert port["name"] == ("metrics" if "--metrics-port" in asked else "http") and told == port["containerPort"], name
