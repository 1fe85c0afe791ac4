"""Requests that schemathesis makes up from the service's own description of its API: none may fail inside."""

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from tiny import EXAMPLES, write_model

from pixelkin.model import load
from pixelkin.service.app import create_app
from pixelkin.service.limits import Limits

KEY = {"Authorization": "Bearer k"}
UPLOADS = ["POST /v1/detect", "POST /v1/detect/batch"]
FIGURES = ["GET /v1/models", "GET /metrics"]
OPEN = ["GET /healthz"]
RIGHT, WRONG = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
IMAGES = [file.read_bytes() for file in sorted(EXAMPLES.glob("*-*.*"))]
# That bytes are an image is more than a description can say; in a form a number is a text is a file.
UNSAYABLE = [positive_data_acceptance, negative_data_rejection]
BOUNDED = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load(write_model(tmp_path_factory.mktemp("model") / "tiny.onnx"), threads=1)


@pytest.fixture(scope="module")
def operations(model):
    """The described operations by name, of a service that runs and wants a key."""
    app = create_app(model, Limits(workers=1), "k")
    with TestClient(app):
        schema = schemathesis.openapi.from_asgi("/openapi.json", app)
        yield {each.ok().label: each.ok() for each in schema.get_all_operations()}


def test_every_operation_is_tried(operations):
    assert set(operations) == {*UPLOADS, *FIGURES, *OPEN}


@pytest.mark.parametrize(
    ("name", "mode"),
    [(name, RIGHT) for name in UPLOADS + FIGURES + OPEN] + [(name, WRONG) for name in UPLOADS + FIGURES],
    ids=lambda value: getattr(value, "value", value),
)
def test_requests_made_from_the_description_are_answered_as_it_says(operations, name, mode):
    @BOUNDED
    @given(operations[name].as_strategy(generation_mode=mode))
    def check(case):
        case.call_and_validate(headers=KEY, excluded_checks=UNSAYABLE)

    check()


@pytest.mark.parametrize("name", UPLOADS)
def test_made_up_requests_with_images_are_judged(operations, name):
    @BOUNDED
    @given(operations[name].as_strategy(generation_mode=RIGHT), st.sampled_from(IMAGES))
    def check(case, image):
        case.body |= {"files": [image] * len(case.body["files"])} if "files" in case.body else {"file": image}
        answer = case.call_and_validate(headers=KEY, excluded_checks=UNSAYABLE)
        assert answer.status_code == 200

    check()


def test_without_a_key_none_is_described(model):
    described = create_app(model).openapi()
    assert "securitySchemes" not in described["components"]
    assert not any(
        "security" in operation for path in described["paths"].values() for operation in path.values()
    )
