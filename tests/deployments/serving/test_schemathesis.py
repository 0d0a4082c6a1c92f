"""The OpenAPI document as a plan of attack: whatever is made of it, nothing breaks and nothing new comes."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 15


def strategies(base_url, mode):
    """How to attack each operation; what takes no body cannot be asked wrongly."""
    schema = schemathesis.openapi.from_url(f"{base_url}/openapi.json")
    found = [result.ok() for result in schema.get_all_operations()]
    with_body = [each for each in found if each.body]
    chosen = found if mode is GenerationMode.POSITIVE else with_body
    return [operation.as_strategy(generation_mode=mode) for operation in chosen]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
def test_nothing_that_the_document_leads_to_breaks_the_server(http, mode):
    calm = settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    def attack(case):
        case.call_and_validate(checks=CHECKS)

    plan = strategies(http.base_url, mode)
    assert len(plan) >= 16
    for strategy in plan:
        seed(4)(calm(given(case=strategy)(attack)))()
    assert http.get("/v2/health/ready").status_code == 200
