"""Generators' settings: program, checkpoint or service, and whether a picture went in; and hostile ones."""

import json
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metadata import PIXELS, WEB_UI, after_header, chunk, exif, node, png, said, saved

from pixelkin.images import decode
from pixelkin.provenance import declared, evidence
from pixelkin.provenance.carried import user_comment
from pixelkin.provenance.credentials import read_credentials
from pixelkin.provenance.graphs import read_graph
from pixelkin.provenance.programs import read_parameters


def meta(**values):
    return json.dumps(values)


MFLUX = meta(mflux_version="0.1", model="black-forest-labs/FLUX.1-dev", image_path=None)
RESOURCES = '[{"type":"checkpoint","modelVersionId":1,"modelName":"Pony","modelVersionName":"V6"}]'
SETTINGS = {
    "web UI": (
        png(parameters=f"{WEB_UI}, Model hash: abcdef12, Model: dreamshaper_8, Version: v1.6.0"),
        "a1111",
        "dreamshaper_8",
        set(),
    ),
    "web UI, hash": (png(parameters=f"{WEB_UI}, Model hash: abcdef12"), "a1111", "abcdef12", set()),
    "image to image": (
        png(parameters=f"{WEB_UI}, Model: a, Denoising strength: 0.4"),
        "a1111",
        "a",
        {"edit"},
    ),
    "two passes": (
        png(parameters=f"{WEB_UI}, Model: a, Denoising strength: 0.4, Hires upscale: 2"),
        "a1111",
        "a",
        set(),
    ),
    "inpainting": (png(parameters=f"{WEB_UI}, Model: a, Mask blur: 4"), "a1111", "a", {"edit"}),
    "a word of the prompt": (png(parameters=f"Mask blur: 4 {WEB_UI}, Model: a"), "a1111", "a", set()),
    "a model's page": (
        png(parameters=f"{WEB_UI}, Civitai resources: {RESOURCES}"),
        "a1111",
        "Pony",
        set(),
    ),
    "extras": (
        png(postprocessing="Postprocess upscale by: 4, Postprocess upscaler: R-ESRGAN 4x+"),
        "a1111",
        "R-ESRGAN 4x+",
        {"edit"},
    ),
    "Fooocus": (
        png(fooocus_scheme="fooocus", parameters=meta(base_model="juggernautXL_v8", styles="[]")),
        "fooocus",
        "juggernautXL_v8",
        set(),
    ),
    "Fooocus as web UI": (
        png(parameters=f"{WEB_UI}, Model: x, Version: Fooocus v2.3.0"),
        "fooocus",
        "x",
        set(),
    ),
    "SwarmUI": (
        png(parameters=meta(sui_image_params={"model": "OfficialStableDiffusion/sd_xl_base_1.0"})),
        "swarm",
        "sd_xl_base_1.0",
        set(),
    ),
    "SwarmUI with an image": (
        png(parameters=meta(sui_image_params={"model": "x", "initimage": "a"})),
        "swarm",
        "x",
        {"edit"},
    ),
    "InvokeAI": (
        png(invokeai_metadata=meta(generation_mode="sdxl_txt2img", model={"name": "Juggernaut XL"})),
        "invoke",
        "Juggernaut XL",
        set(),
    ),
    "InvokeAI 3": (
        png(invokeai_metadata=meta(generation_mode="img2img", model={"model_name": "sd-1"})),
        "invoke",
        "sd-1",
        {"edit"},
    ),
    "InvokeAI 2": (
        png(sd_of_metadata=meta(model_weights="stable-diffusion-1.5", image={"type": "txt2img"})),
        "invoke",
        "stable-diffusion-1.5",
        set(),
    ),
    "InvokeAI 1": (png(Dream='"a cat" -s 50 -I photo.png'), "invoke", None, {"edit"}),
    "NovelAI": (
        png(
            Software="NovelAI",
            Source="NovelAI Diffusion V4 37442FCA",
            Comment=meta(request_type="PromptGenerateRequest"),
        ),
        "novelai",
        "NovelAI Diffusion V4 37442FCA",
        set(),
    ),
    "NovelAI from an image": (
        png(Software="NovelAI", Source="x", Comment=meta(request_type="Img2ImgRequest")),
        "novelai",
        "x",
        {"edit"},
    ),
    "Midjourney": (
        png(Description="a cat --ar 3:2 --v 6.1 Job ID: 01234567-89ab"),
        "midjourney",
        "midjourney --v 6.1",
        set(),
    ),
    "Midjourney with an image": (
        png(Description="https://s.mj.run/x a cat --niji 6 Job ID: 01234567-89ab"),
        "midjourney",
        "midjourney --niji 6",
        {"ref"},
    ),
    "mflux": (
        saved("PNG", exif=exif(software="mflux", comment=b"ASCII\0\0\0" + MFLUX.encode())),
        "mflux",
        "FLUX.1-dev",
        set(),
    ),
    "Grok": (
        saved(
            "JPEG", exif=exif(description="Signature: abc=", artist="01234567-89ab-cdef-0123-456789abcdef")
        ),
        "grok",
        "xAI Grok",
        set(),
    ),
}


@pytest.mark.parametrize(("data", "mark", "model", "flags"), SETTINGS.values(), ids=SETTINGS)
def test_settings_of_every_program_are_read(data, mark, model, flags):
    assert said(data) == (mark, [model] if model else [], flags)


def test_draw_things_writes_into_xmp():
    inside = meta(model="sd_v1.5_f16.ckpt", sampler="DPM++ 2M", strength=1).replace('"', "&quot;")
    packet = (
        f'<x:xmpmeta xmp:CreatorTool="Draw Things"><exif:UserComment>{inside}</exif:UserComment></x:xmpmeta>'
    )
    assert said(saved("JPEG", xmp=packet.encode())) == ("drawthings", ["sd_v1.5_f16.ckpt"], set())


@pytest.mark.parametrize("form", ["utf-16-be", "utf-16-le", "utf-8"])
def test_comments_are_read_in_whatever_order_of_bytes(form):
    text = "猫\na cat on a mat\n" + WEB_UI + ", Model: sd15"
    assert user_comment(b"UNICODE\0" + text.encode(form)) == text
    data = saved("JPEG", exif=exif(comment=b"UNICODE\0" + text.encode(form)))
    assert said(data) == ("a1111", ["sd15"], set())
    assert evidence(data).says_generated


@pytest.mark.parametrize(
    "form",
    [
        "<Iptc4xmpExt:DigitalSourceType rdf:resource='{}'/>",
        "<Iptc4xmpExt:DigitalSourceType>{}</Iptc4xmpExt:DigitalSourceType>",
        '<rdf:Description Iptc4xmpExt:DigitalSourceType="{}"/>',
    ],
)
@pytest.mark.parametrize("start", ["http://cv.iptc.org/newscodes/digitalsourcetype/", "digsrctype:"])
def test_source_types_are_read_in_every_spelling(form, start):
    def data(code):
        packet = f"<x:xmpmeta>{form.format(start + code)}</x:xmpmeta>"
        return saved("JPEG", xmp=packet.encode())

    assert said(data("trainedAlgorithmicMedia")) == ("iptc-ai", [], set())
    assert evidence(data("trainedAlgorithmicMedia")).says_generated
    assert said(data("compositeWithTrainedAlgorithmicMedia"))[0] == "composite-ai"
    assert declared(data("digitalCapture")) == []
    assert not evidence(data("digitalCapture")).says_generated


def test_chinas_label_names_its_producer():
    label = '{"AIGC": {"Label": "1", "ContentProducer": "doubao-123"}}'
    assert said(png(AIGC=label)) == ("aigc-label", ["doubao-123"], set())


def text(value):
    return bytes([0x78, len(value)]) + value.encode()


def manifest(source):
    """The parts of a C2PA manifest that name its makers."""
    agent = b"\xa1dname" + text("GPT-4o")
    return (
        b"jumbc2pa" + b"lsoftwareAgent" + agent + text(source) + b"oclaim_generator" + text("Some/1.0 lib/2")
    )


def of_jpeg(box, size=60):
    """A JPEG with a manifest in several segments."""
    pieces = [box[at : at + size] for at in range(0, len(box), size)]
    head = b"\0\0\0\x20jumb"
    segments = b""
    for number, piece in enumerate(pieces, 1):
        body = b"JP\0\1" + number.to_bytes(4, "big") + (head if number > 1 else b"") + piece
        segments += b"\xff\xeb" + (len(body) + 2).to_bytes(2, "big") + body
    return saved("JPEG")[:2] + segments + saved("JPEG")[2:]


def of_webp(box):
    whole = saved("WEBP")
    block = b"C2PA" + len(box).to_bytes(4, "little") + box + b"\0" * (len(box) % 2)
    return whole[:4] + (len(whole) + len(block) - 8).to_bytes(4, "little") + whole[8:] + block


@pytest.mark.parametrize(
    "hold", [of_jpeg, of_webp, lambda box: after_header(chunk(b"caBX", box))], ids=["JPEG", "WebP", "PNG"]
)
@pytest.mark.parametrize(
    ("source", "mark"),
    [
        ("trainedAlgorithmicMedia", "c2pa-ai"),
        ("compositeWithTrainedAlgorithmicMedia", "composite-ai"),
        ("digitalCapture", "c2pa"),
    ],
)
def test_agents_of_a_manifest_are_read_without_its_signature(hold, source, mark):
    assert said(hold(manifest(source))) == (mark, ["GPT-4o", "Some 1.0 lib 2"], set())


def test_what_is_no_manifest_says_nothing():
    assert read_credentials(saved()) is None
    assert read_credentials(after_header(chunk(b"caBX", b"other"))) is None
    assert declared(b"") == declared(b"no image") == declared(saved("JPEG")) == []
    assert read_parameters("exposure=3 gain=2") is None


def test_claims_name_the_checkpoint_and_that_a_picture_went_in():
    found = dict(evidence(png(parameters=f"{WEB_UI}, Model: dreamshaper_8, Denoising strength: 0.4")).lines())
    assert found["Checkpoint"] == "dreamshaper_8 (settings of Stable Diffusion web UI)"
    assert found["Input"].startswith("a picture was an input: edited")
    assert "Input" not in dict(evidence(png(parameters=WEB_UI)).lines())


@pytest.mark.parametrize(
    "chunks",
    [
        [b"\0\0\0\x0atEXtComment\0ho\0\0\0\0"],
        [chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"a" * 3_000_000))],
        [chunk(b"eXIf", b"b'Exif\\x00\\x00II*'"), chunk(b"tEXt", b"parameters\0" + WEB_UI.encode())],
        [chunk(b"tEXt", b"Title\0" + b"a" * 900_000)] * 80,
    ],
    ids=["a wrong check sum", "a long text", "EXIF that is none", "many texts"],
)
def test_what_stands_beside_the_pixels_costs_at_most_itself(chunks):
    data = after_header(*chunks)
    picture = decode(data)
    assert (picture.pixels == PIXELS).all()
    assert picture.sha256 != decode(saved()).sha256
    evidence(data)


def test_exif_that_is_none_leaves_the_text_chunk_as_evidence():
    data = after_header(chunk(b"eXIf", b"b'Exif'"), chunk(b"tEXt", b"parameters\0" + WEB_UI.encode()))
    assert said(data)[0] == "a1111"
    assert evidence(data).says_generated


def test_hostile_settings_cost_little():
    deep = '{"1": {"class_type": "SaveImage", "inputs": ' + "[" * 200_000
    nodes = {str(n): node("SaveImage", images=[str(n + 1), 0]) for n in range(20_000)}
    files = [png(prompt=text) for text in (deep, json.dumps(nodes), '{"class_type"' * 60_000)]
    files += [
        png(parameters="Steps: 1" * 100_000),
        png(parameters='"type":"checkpoint"' * 50_000 + " Steps: 1"),
    ]
    files += [after_header(chunk(b"caBX", b"c2pa softwareAgent" * 100_000)), of_jpeg(b"c2pa" * 100, 1)]
    began = time.process_time()
    for data in files:
        declared(data, "a.png")
    assert time.process_time() - began < 5


KEYS = st.sampled_from(["class_type", "inputs", "prompt", "1", "2", "model", "ckpt_name"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_json_of_any_shape_raises_nothing(value):
    text = json.dumps({"1": {"class_type": "KSampler", "inputs": value}, "x": value})
    read_graph(text, "a.png")
    for data in (png(parameters=text), png(invokeai_metadata=text), png(Software="NovelAI", Comment=text)):
        declared(data)
    read_parameters('{"sui_image_params": ' + json.dumps(value) + "}")
    read_parameters('{"mflux_version": 1, "model": ' + json.dumps(value) + "}")
    read_parameters('{"Base Model": ' + json.dumps(value) + "}")
