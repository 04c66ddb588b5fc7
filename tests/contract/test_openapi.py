"""Requests generated from the three OpenAPI documents, fit and unfit, against the running product.

Checks: nothing is answered 5xx; every answer has a documented status and content type and fits its schema; unfit requests are refused;
methods that are not there are 405 with `Allow`; nothing answers without its key.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import Clinic, Operation

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
# Coverage of the fifteen event types in every combination takes half a minute and finds what fuzzing finds.
PHASES = {"ingest": "examples,fuzzing", "decision": "examples,coverage,fuzzing", "notify": "examples,coverage,fuzzing"}
# A server that stands still for two seconds makes a service say that it is not ready, which is no fault of it.
READINESS = """
[[operations]]
include-path = "/readyz"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]
"""
ROLE = {"ingest": "clinician", "decision": "clinician", "notify": "integrator"}


async def generated(clinic: Clinic, service: str, home: Path, *options: str, settings: str = "") -> None:
    config = home / "schemathesis.toml"
    config.write_text(f"{settings}{READINESS}")
    url = f"{getattr(clinic.stack, f'{service}_url')}/openapi.json"
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", url, "--checks", ",".join(CHECKS)),
        *("--header", f"Authorization: Bearer {clinic.keys[ROLE[service]]}", "--seed=1", "--generation-database=none"),
        *("--suppress-health-check=all", "--no-color", "--warnings=off", "--request-timeout=60", "--exclude-path", "/v1/stream", *options),
        cwd=home,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await asyncio.wait_for(run.communicate(), 240)
    assert run.returncode == 0, report.decode()


@pytest.mark.parametrize("service", ROLE)
async def test_no_generated_request_meets_a_fault_or_an_undocumented_answer(
    clinics: dict[str, Clinic], tmp_path: Any, service: str
) -> None:
    await generated(clinics["generated"], service, tmp_path, f"--phases={PHASES[service]}", "--max-examples=20")


@pytest.mark.parametrize("service", ["decision", "notify"])
async def test_answers_about_what_exists_are_as_documented(clinics: dict[str, Clinic], tmp_path: Any, service: str) -> None:
    clinic = clinics["generated"]
    names = clinic.names | {"source": "urn:contract:app"}
    known = "[parameters]\n" + "".join(f'"path.{name}" = "{value}"\n' for name, value in names.items() if name != "id")
    await generated(
        *(clinic, service, tmp_path, "--phases=fuzzing", "--mode=positive", "--max-examples=6", "--exclude-method=DELETE"),
        *("--exclude-path-regex=/v1/(events|protocols)/.*",),
        settings=known,
    )


async def test_a_method_that_is_not_there_is_405_and_says_which_are(operations: list[Operation], north: Clinic) -> None:
    methods: dict[str, set[str]] = {}
    for operation in operations:
        methods.setdefault(operation.url(north.names), set()).add(operation.method)
    for url, there in methods.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - there:
            answer = await north.ask(method, url)
            assert answer.status_code == 405, f"{method} {url}: {answer.status_code}"
            assert set(answer.headers["allow"].split(", ")) == there
            assert answer.json()["type"] == "urn:milepost:problem:method-not-allowed"
