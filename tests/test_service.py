"""The service, as a client meets it."""

import base64
import dataclasses
import io
import logging
import tempfile
import time

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from tiny import EXAMPLES

from pixelkin.caution import CAUTION
from pixelkin.errors import ImageError
from pixelkin.images import decode
from pixelkin.model import load
from pixelkin.scoring import FIELDS, Judged, record
from pixelkin.service.app import PAGE, create_app
from pixelkin.service.limits import Limits

PHOTO = EXAMPLES / "photo-chelsea.png"
LARGE = EXAMPLES / "photo-rocket.jpg"


@pytest.fixture(scope="module")
def model():
    return load(threads=1)


@pytest.fixture(scope="module")
def client(model):
    with TestClient(create_app(model)) as client:
        yield client


@pytest.fixture
def served(model):
    """A client of a service with other limits, or with a key."""
    opened = []

    def serve(key="", **limits):
        opened.append(TestClient(create_app(model, Limits(**limits), key)))
        return opened[-1].__enter__()

    yield serve
    for client in opened:
        client.__exit__(None, None, None)


def png(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def detect(client, data, name="x.png", headers=None, **fields):
    return client.post("/v1/detect", files={"file": (name, data)}, data=fields, headers=headers)


def image_of(uri):
    kind, _, encoded = uri.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))


def test_detect_answers_what_the_command_line_says(client, model):
    answer = detect(client, PHOTO.read_bytes(), PHOTO.name)
    assert answer.status_code == 200
    row = answer.json()
    expected = record(Judged(PHOTO.name, model.detect(PHOTO)), model)
    assert row.pop("caution") == CAUTION
    assert list(row) == FIELDS
    assert row == expected | {key: pytest.approx(expected[key], abs=2e-6) for key in ("probability", "score")}


def test_a_heat_map_is_clear_where_no_tile_looked_and_lies_on_the_picture(client, model):
    row = detect(client, PHOTO.read_bytes(), heatmap="true").json()
    heat = image_of(row["heatmap"])
    seen = ~np.isnan(model.detect(PHOTO).heatmap)
    assert heat.shape == (300, 451, 4)
    assert np.array_equal(heat[..., 3] == 255, seen)
    assert set(row) == {*FIELDS, "caution", "heatmap"}


def test_explanations_of_a_large_picture_are_bounded(client):
    data = png(np.random.default_rng(0).integers(0, 256, (700, 3001, 3), np.uint8))
    row = detect(client, data, heatmap="true", relation="true").json()
    assert image_of(row["heatmap"]).shape == (233, 1000, 4)
    assert image_of(row["relation"]).shape == (700, 1024, 3)


def test_the_relation_shows_up_sampling_by_two_as_nothing(client):
    small = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    row = detect(client, png(small.repeat(2, 0).repeat(2, 1)), relation="true").json()
    assert (image_of(row["relation"]) == 128).all()


def test_a_picture_without_a_cell_has_a_verdict_and_no_relation(client):
    row = detect(client, png(np.zeros((1, 1, 3), np.uint8)), relation="true").json()
    assert row["verdict"]
    assert row["relation"] is None


def test_evidence_is_what_the_file_says_of_itself(client):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Camera & Co", "One"
    row = detect(client, png(np.zeros((64, 64, 3), np.uint8), exif=exif), evidence="true").json()
    assert any("Camera & Co" in each["says"] for each in row["evidence"])
    assert detect(client, PHOTO.read_bytes()).json().get("evidence") is None


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 422),
        (b"no image at all", 415),
        (PHOTO.read_bytes()[:9000], 422),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
    ],
    ids=["empty", "text", "cut", "svg"],
)
def test_what_cannot_be_read_is_the_library_s_sentence(client, data, status):
    with pytest.raises(ImageError) as told:
        decode(data, "mine.png")
    answer = detect(client, data, "mine.png")
    assert answer.status_code == status
    assert answer.json() == {"error": str(told.value)}


def test_a_batch_has_a_row_for_every_file_in_order_whatever_is_among_them(client):
    files = [PHOTO.read_bytes(), b"nothing", LARGE.read_bytes(), b""]
    sent = [("files", (f"{place}.bin", data)) for place, data in enumerate(files)]
    answer = client.post("/v1/detect/batch", files=sent)
    rows = answer.json()["results"]
    assert answer.status_code == 200
    assert [row["path"] for row in rows] == ["0.bin", "1.bin", "2.bin", "3.bin"]
    assert [row["width"] for row in rows] == [451, None, 640, None]
    assert [row["error"] is None for row in rows] == [True, False, True, False]
    assert answer.json()["caution"] == CAUTION
    assert rows[0]["probability"] == pytest.approx(detect(client, files[0]).json()["probability"], abs=2e-6)
    assert "not an image of a kind" in rows[1]["error"]


def test_over_a_hundred_files_are_refused(client):
    answer = client.post("/v1/detect/batch", files=[("files", ("x.png", b"x"))] * 101)
    assert answer.status_code == 413
    assert answer.json() == {"error": "a request takes 100 files at the most"}


@pytest.mark.parametrize("chunked", [False, True])
def test_too_many_bytes_are_413(served, chunked):
    client = served(file_bytes=100_000)
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + b"x" * 300_000
    content = iter([body]) if chunked else body
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = client.post("/v1/detect", content=content, headers=headers)
    assert answer.status_code == 413
    assert answer.json() == {"error": "the upload is over 0.09537 MiB"}


def test_a_file_over_the_limit_is_a_row_of_its_batch(served):
    client = served(file_bytes=250_000)
    sent = [("files", ("small.png", PHOTO.read_bytes())), ("files", ("big.bin", b"x" * 250_001))]
    small, big = client.post("/v1/detect/batch", files=sent).json()["results"]
    assert small["verdict"]
    assert big["error"].startswith("big.bin: 250,001 bytes are over")


def test_too_many_pixels_are_413_before_they_are_decoded(served):
    answer = detect(served(pixels=100_000), PHOTO.read_bytes(), "cat.png")
    assert answer.status_code == 413
    assert answer.json() == {"error": "cat.png: 451 x 300 is over 100,000 pixels"}


def test_another_content_type_is_415(client):
    assert client.post("/v1/detect", content=PHOTO.read_bytes()).status_code == 415
    assert client.post("/v1/detect", json={"url": "http://localhost/x.png"}).status_code == 415


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"files": {"image": b"x"}}, "file: it is missing"),
        (
            {"files": {"file": PHOTO.read_bytes()}, "data": {"heatmap": "perhaps"}},
            "heatmap: 'perhaps' is neither true nor false",
        ),
        (
            {"data": {"file": "words"}, "files": {"other": b"x"}},
            "file: send an image file, with its name, and not text",
        ),
    ],
    ids=["another field", "no yes or no", "text for a file"],
)
def test_other_fields_are_422_and_a_sentence(client, form, sentence):
    answer = client.post("/v1/detect", **form)
    assert answer.status_code == 422
    assert answer.json()["error"] == sentence


def test_a_broken_form_is_422(client):
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = client.post("/v1/detect", content=b"--c\r\nnonsense", headers=headers)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("no valid form")


def test_one_client_s_share_is_429_and_a_full_house_503(served):
    one = detect(served(requests_of_one=0), PHOTO.read_bytes())
    full = detect(served(requests=0), PHOTO.read_bytes())
    heavy = detect(served(waiting_bytes=1000), PHOTO.read_bytes())
    assert [one.status_code, full.status_code, heavy.status_code] == [429, 503, 503]
    for answer in (one, full, heavy):
        assert answer.headers["retry-after"]
        assert "in hand" in answer.json()["error"]


def test_places_are_given_back(served, model):
    client = served(requests=1, waiting_bytes=300_000)
    assert [detect(client, data).status_code for data in (PHOTO.read_bytes(), b"x") * 2] == [200, 415] * 2


def test_judging_that_takes_too_long_is_503(served, model, monkeypatch):
    def slowly(_, tiles):
        time.sleep(0.3)
        return np.zeros(len(tiles))

    monkeypatch.setattr(type(model), "logits", slowly)
    answer = detect(served(seconds=0.1), PHOTO.read_bytes(), "cat.png")
    assert answer.status_code == 503
    assert answer.json() == {"error": "cat.png: not judged within 0.1 s"}


def test_a_failure_inside_tells_nothing_of_the_inside(model, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("/secret/place")

    monkeypatch.setattr(type(model), "logits", fail)
    with TestClient(create_app(model), raise_server_exceptions=False) as client:
        answer = detect(client, PHOTO.read_bytes())
    assert answer.status_code == 500
    assert answer.json() == {"error": "the service failed at this; its log says where"}


def test_nothing_touches_the_disk_and_no_name_is_logged(client, monkeypatch, caplog):
    def touched(*_, **__):
        raise AssertionError("a file was made")

    for maker in ("TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, maker, touched)
    caplog.set_level(logging.DEBUG, "pixelkin")
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), np.uint8)
    data = png(noise)
    assert len(data) > 2 * 1024**2
    assert detect(client, data, "my-secret-name.png").status_code == 200
    assert "my-secret-name" not in caplog.text


def test_with_a_key_only_its_bearers_come_in(served):
    client = served(key="open sesame")
    data = PHOTO.read_bytes()
    for shown in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic open sesame"}):
        answer = detect(client, data, headers=shown)
        assert answer.status_code == 401
        assert "key" in answer.json()["error"]
        assert client.get("/v1/models", headers=shown).status_code == 401
        assert client.get("/metrics", headers=shown).status_code == 401
    right = {"Authorization": "Bearer open sesame"}
    assert detect(client, data, headers=right).status_code == 200
    assert client.get("/metrics", headers=right).status_code == 200
    assert client.get("/healthz").status_code == 200
    assert client.get("/").status_code == 200


def test_a_key_may_have_any_letters(served):
    client = served(key="Schlüssel")
    shown = {"Authorization": "Bearer Schlüssel".encode()}
    assert client.get("/v1/models", headers=shown).status_code == 200
    assert client.get("/v1/models", headers={"Authorization": "Bearer Schlussel"}).status_code == 401


def test_a_length_that_no_number_holds_is_taken_for_the_most(client):
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nx\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "9" * 5000}
    assert client.post("/v1/detect", content=body, headers=headers).status_code == 415


def test_models_tells_the_card_and_what_is_taken(client, model):
    said = client.get("/v1/models").json()
    (card,) = said["models"]
    assert card["name"] == model.card.name
    assert card["sha256"] == model.sha256
    assert card["generated_above"] == model.card.generated_above
    assert said["limits"]["file_bytes"] == dataclasses.asdict(Limits())["file_bytes"]
    assert "JPEG" in said["limits"]["formats"]


def test_metrics_count_answers_and_verdicts(served):
    client = served()
    verdict = detect(client, PHOTO.read_bytes()).json()["verdict"]
    detect(client, b"x")
    client.get("/no/such/path")
    page = client.get("/metrics").text
    assert f'pixelkin_pictures_total{{verdict="{verdict}"}} 1.0' in page
    assert 'pixelkin_pictures_total{verdict="unreadable"} 1.0' in page
    assert 'pixelkin_requests_total{route="/v1/detect",status="415"} 1.0' in page
    assert "pixelkin_batch_tiles_count 1.0" in page
    assert "pixelkin_waiting_tiles 0.0" in page
    assert "pixelkin_requests_in_hand 0.0" in page
    assert "/no/such/path" not in page


def test_every_answer_has_the_security_headers(client):
    for answer in (client.get("/"), client.get("/app.js"), client.get("/healthz"), detect(client, b"x")):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/healthz").headers["cache-control"] == "no-store"


def test_what_is_not_there_is_a_sentence(client):
    assert client.get("/../../etc/passwd").status_code == 404
    assert client.get("/v1/nothing").json() == {"error": "GET /v1/nothing: not found"}
    assert client.get("/v1/detect").status_code in {404, 405}


def test_the_api_and_the_page_say_the_caution_in_the_same_words(client):
    assert CAUTION in client.get("/openapi.json").json()["info"]["description"]
    assert client.get("/").text.count(f">{CAUTION}<") == 2


def test_openapi_has_examples_and_every_refusal(client):
    api = client.get("/openapi.json").json()
    route = api["paths"]["/v1/detect"]["post"]
    assert set(route["responses"]) >= {"200", "401", "413", "415", "422", "429", "503"}
    shown = api["components"]["schemas"]["Row"]["examples"][0]
    assert set(shown) == set(FIELDS) - {"error"}  # what is null is left out by FastAPI
    assert api["components"]["schemas"]["Rows"]["examples"][0]["results"][1]["error"]


def test_the_page_refers_to_nothing_elsewhere():
    for file in PAGE.iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in "".join(line for line in text.splitlines() if "http" in line), file.name
    index = (PAGE / "index.html").read_text()
    assert "<script>" not in index
    assert "style=" not in index
