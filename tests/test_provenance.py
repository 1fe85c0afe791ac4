"""What files say of themselves: real files of every kind of writer, and hostile ones."""

import datetime
import io
import json
import socket
import sys
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from tiny import EXAMPLES

import pixelkin
from pixelkin.provenance import Evidence, evidence
from pixelkin.provenance.claims import LONGEST, MOST, clean
from pixelkin.provenance.manifest import NOT_INSTALLED

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
WEB_UI = "a cat\nNegative prompt: a dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"
COMFY = json.dumps({"3": {"class_type": "KSampler", "inputs": {"seed": 1}}})
IPTC_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description {}>{}</rdf:Description></x:xmpmeta>'


def png(*texts, **options):
    """A PNG file with (keyword, text) chunks."""
    info = PngImagePlugin.PngInfo()
    for key, text in texts:
        info.add_itxt(key, text) if not text.isascii() else info.add_text(key, text)
    return saved("PNG", pnginfo=info, **options)


def saved(format, **options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format, **options)
    return buffer.getvalue()


def exif(**values):
    """EXIF with values by the names of their tags."""
    tags = {"make": 271, "model": 272, "software": 305, "description": 270, "taken": 36867, "comment": 37510}
    block = Image.Exif()
    for name, value in values.items():
        if name in {"taken", "comment"}:
            block.get_ifd(0x8769)[tags[name]] = value
        else:
            block[tags[name]] = value
    return block


def said(data):
    return dict(evidence(data).lines())


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        ([("parameters", WEB_UI)], "Stable Diffusion web UI"),
        ([("prompt", COMFY), ("workflow", '{"last_node_id": 9}')], "ComfyUI"),
        ([("invokeai_metadata", '{"positive_prompt": "a cat"}')], "InvokeAI"),
        ([("Dream", '"a cat" -s 50')], "InvokeAI"),
        ([("Software", "NovelAI"), ("Description", "a cat"), ("Source", "Stable Diffusion F1")], "NovelAI"),
        ([("Description", "a cat --ar 16:9 --v 6.1 Job ID: 01234567-89ab-cdef")], "Midjourney"),
        ([("Software", "DALL·E 3")], "DALL·E"),
        ([("parameters", '{"sui_image_params": {"prompt": "a cat"}}')], "SwarmUI"),
        ([("XML:com.adobe.xmp", XMP.format(f'Iptc4xmpExt:DigitalSourceType="{IPTC_TYPE}'
                                           'trainedAlgorithmicMedia"', ""))], "a trained model"),
    ],
)  # fmt: skip
def test_what_generators_write_into_png_is_told(texts, names):
    found = evidence(png(*texts))
    assert found.says_generated
    assert any(names in value for _, value in found.lines())


@pytest.mark.parametrize(
    "texts",
    [
        [("Software", "Adobe Photoshop 25.0"), ("Title", "Holiday")],
        [("Description", "A photograph of OpenAI's office, with steps: 20 of them")],
        [("parameters", "exposure=3 gain=2")],
        [("Comment", "convert a.png --verbose b.png")],
        [],
    ],
)
def test_what_other_programs_write_is_told_and_is_no_generator(texts):
    found = evidence(png(*texts))
    assert not found.says_generated
    assert len(found.claims) == len(texts)


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF", "TIFF", "PNG"])
def test_a_camera_is_told_of_in_every_format_that_holds_one(format):
    block = exif(make="Canon", model="Canon EOS R5", software="Firmware 1.2", taken="2024:05:01 10:00:00")
    block.get_ifd(0x8825)[1] = "N"
    found = said(saved(format, exif=block))
    assert found["Camera"] == "Canon EOS R5 (EXIF)"
    assert found["Software"] == "Firmware 1.2 (EXIF)"
    if format != "TIFF":  # into which Pillow writes no more than the first directory
        assert found["Taken"] == "2024:05:01 10:00:00 (EXIF)"
        assert found["Position"] == "there is one, which is not shown (EXIF)"


def test_generators_that_write_into_exif_are_told():
    comment = b"UNICODE\0" + WEB_UI.encode("utf-16-be")
    assert evidence(saved("JPEG", exif=exif(comment=comment))).says_generated
    assert evidence(saved("WEBP", exif=exif(make="workflow:" + '{"last_node_id": 3}'))).says_generated
    assert evidence(saved("JPEG", exif=exif(software="Midjourney"))).says_generated


def test_xmp_and_iptc_of_a_jpeg_are_told():
    packet = XMP.format(
        'xmp:CreatorTool="Adobe Firefly 3"',
        f"<Iptc4xmpExt:DigitalSourceType>{IPTC_TYPE}compositeWithTrainedAlgorithmicMedia"
        "</Iptc4xmpExt:DigitalSourceType>"
        "<dc:creator><rdf:Seq><rdf:li>A &amp; B</rdf:li></rdf:Seq></dc:creator>"
        "<dcterms:provenance>https://example.org/m.c2pa</dcterms:provenance>",
    )
    found = said(saved("JPEG", xmp=packet.encode()))
    assert found["Generator"] == "Adobe Firefly 3 (XMP)"
    assert "parts that a trained model generated" in found["Source type"]
    assert found["Author"] == "A & B (XMP)"
    assert found["Content Credentials"].startswith("lie elsewhere and were not fetched: https://example.org")
    credit = b"Made with Google AI"
    block = b"\x1c\x02\x6e" + len(credit).to_bytes(2, "big") + credit
    resource = b"8BIM\x04\x04\0\0" + len(block).to_bytes(4, "big") + block + b"\0" * (len(block) % 2)
    body = b"Photoshop 3.0\0" + resource
    jpeg = saved("JPEG")
    jpeg = jpeg[:2] + b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]
    assert said(jpeg)["Credit"] == "Made with Google AI (IPTC)"
    assert evidence(jpeg).says_generated


def test_a_camera_original_says_so():
    packet = XMP.format(f'Iptc4xmpExt:DigitalSourceType="{IPTC_TYPE}digitalCapture"', "")
    found = evidence(saved("WEBP", xmp=packet.encode()))
    assert found.lines() == [("Source type", "captured by a camera (digitalCapture) (XMP)")]
    assert not found.says_generated


def test_text_after_the_pixels_is_found_too():
    body = b"parameters\0" + WEB_UI.encode()
    chunk = len(body).to_bytes(4, "big") + b"tEXt" + body + zlib.crc32(b"tEXt" + body).to_bytes(4, "big")
    assert evidence(png()[:-12] + chunk + png()[-12:]).says_generated


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.[jp][pn]g")), ids=lambda file: file.name)
def test_the_examples_are_read_and_claim_no_generator(file):
    found = evidence(file.read_bytes())
    assert not found.says_generated
    assert found.hints == ()


def test_evidence_is_json():
    told = json.loads(json.dumps(evidence(png(("parameters", WEB_UI))).as_dict()))
    assert told["says_generated"] is True
    assert told["claims"][0]["what"] == "Parameters"
    assert Evidence().lines() == []


def test_values_are_one_line_without_control_characters_and_short():
    hostile = "a\x00b\x1b[31mc\u202edrow\u200b\n" + "x" * 5000
    ((_, value),) = evidence(png(("Title", hostile))).lines()
    assert value.startswith("a b [31mc drow x")
    assert len(value) <= LONGEST + len(" (PNG text)")
    assert clean(b"\xff" * 9000).endswith("…")
    assert len(evidence(png(*[(f"key {n}", "v") for n in range(200)])).claims) == MOST


def test_hostile_sizes_cost_little():
    bomb = b"Title\0\0" + zlib.compress(b"A" * 200_000_000, 9)
    chunk = len(bomb).to_bytes(4, "big") + b"zTXt" + bomb + b"\0\0\0\0"
    packet = b"<x><creator><creator>" + b"<creator>" * 200_000 + b' creator="' * 100_000
    text = "Steps: 1, " + "x" * 900_000 + " --v" * 50_000
    files = [png()[:33] + chunk + png()[33:], saved("WEBP", xmp=packet), png(("Comment", text))]
    files.append(png() + b"jumb c2pa" * 100_000)
    began = time.process_time()
    for file in files:
        evidence(file)
    assert time.process_time() - began < 2


PACKET = XMP.format('xmp:Label="b"', "").encode()
WHOLE = {
    kind: saved(kind, exif=exif(make="M", comment=b"ASCII\0\0\0hello"), xmp=PACKET)
    for kind in ("JPEG", "WEBP", "TIFF", "AVIF", "PNG")
}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 500), st.sampled_from(sorted(WHOLE)))
def test_damaged_files_raise_nothing(noise, place, format):
    whole = WHOLE[format]
    place = place * len(whole) // 500
    for data in (noise, whole[:place], whole[:place] + noise + whole[place + len(noise) :]):
        evidence(data)


def test_tags_never_change_the_probability():
    model = pixelkin.load(threads=1)
    bare = model.detect(png())
    tagged = model.detect(
        png(("parameters", WEB_UI), ("Software", "NovelAI"), exif=exif(make="Canon", model="EOS"))
    )
    assert tagged.probability == bare.probability
    assert tagged.logit == bare.logit


def test_without_the_extra_a_manifest_is_a_hint_of_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    found = evidence(png() + b"jumb c2pa")
    assert found.lines() == [("Note", NOT_INSTALLED)]
    assert evidence(png()).lines() == []


# Below: manifests that c2pa-python itself signed, with a key and certificates made here.


@pytest.fixture(scope="module")
def signed():
    c2pa = pytest.importorskip("c2pa", reason="c2pa-python is not installed: pixelkin[provenance]")
    chain, key = _certificates()
    context = c2pa.Context.from_dict({})
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, key, None))

    def sign(format, source="trainedAlgorithmicMedia", elsewhere=""):
        action = {
            "action": "c2pa.created",
            "softwareAgent": {"name": "Test Diffusion"},
            "digitalSourceType": IPTC_TYPE + source,
        }
        actions = {"label": "c2pa.actions.v2", "data": {"actions": [action]}}
        manifest = {"claim_generator_info": [{"name": "a test"}], "assertions": [actions]}
        out = io.BytesIO()
        bare = io.BytesIO(saved(format.upper()))
        builder = c2pa.Builder.from_json(json.dumps(manifest), context)
        if elsewhere:
            builder.set_no_embed()
            builder.set_remote_url(elsewhere)
        builder.sign(signer, f"image/{format}", bare, out)
        return out.getvalue()

    return sign


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_a_signed_manifest_is_read(signed, format):
    found = evidence(signed(format))
    told = dict(found.lines())
    assert found.says_generated
    assert told["Content Credentials"].startswith("signed by Pixelkin's tests; the signature holds")
    assert "generated by a trained model" in told["History"]
    assert "by Test Diffusion" in told["History"]
    assert found.hints == ()


def test_a_cameras_manifest_says_nothing_of_generating(signed):
    assert not evidence(signed("jpeg", "digitalCapture")).says_generated


def test_an_altered_file_is_told_and_its_claims_are_not(signed):
    data = bytearray(signed("jpeg"))
    data[-100] ^= 1
    found = evidence(bytes(data))
    assert "NOT valid" in dict(found.lines())["Content Credentials"]
    assert not found.says_generated


def test_a_manifest_that_lies_elsewhere_is_not_fetched(signed):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.3)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/manifest.c2pa"
        found = evidence(signed("jpeg", elsewhere=url) + b"jumb c2pa")
        with pytest.raises(TimeoutError):
            listening.accept()
    assert url in dict(found.lines())["Content Credentials"]


def test_damaged_manifests_raise_nothing(signed):
    whole = signed("png")
    rng = np.random.default_rng(0)
    start = whole.index(b"jumb")
    for place in rng.integers(start - 8, min(start + 6000, len(whole)), 40):
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        evidence(bytes(data))
        evidence(bytes(data[:place]))


def _certificates():
    """A chain of an end certificate and its root, PEM, and the end's private key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    root, end = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.datetime.now(datetime.UTC)

    def name(common):
        parts = ((NameOID.ORGANIZATION_NAME, "Pixelkin's tests"), (NameOID.COMMON_NAME, common))
        return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts])

    def certificate(common, key, authority):
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
        ) | dict.fromkeys(("encipher_only", "decipher_only"), False)
        usage |= {"digital_signature": not authority, "key_cert_sign": authority, "crl_sign": authority}
        made = (
            x509.CertificateBuilder()
            .subject_name(name(common))
            .issuer_name(name("root"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False
            )
        )
        if not authority:
            email = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            made = made.add_extension(email, critical=False)
        return made.sign(root, hashes.SHA256()).public_bytes(forms.Encoding.PEM)

    private = end.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    return certificate("end", end, False) + certificate("root", root, True), private
