"""ComfyUI's graphs: which model made the saved picture, and whether a picture went in."""

import json

import pytest
from metadata import exif, node, png, said, saved

from pixelkin.provenance import evidence
from pixelkin.provenance.graphs import read_graph

TEXT_TO_IMAGE = {
    "1": node("CheckpointLoaderSimple", ckpt_name="SDXL\\juggernautXL_v9.safetensors"),
    "2": node("EmptyLatentImage", width=64, height=64),
    "3": node("KSampler", model=["1", 0], latent_image=["2", 0], seed=float("nan")),
    "4": node("VAEDecode", samples=["3", 0], vae=["1", 2]),
    "5": node("SaveImage", images=["4", 0], filename_prefix="out/ComfyUI"),
}
INPUT = {"6": node("LoadImage", image="photo.png")}
GRAPHS = {
    "text to image": (TEXT_TO_IMAGE, set()),
    "image to image": (
        TEXT_TO_IMAGE | INPUT | {"2": node("VAEEncode", pixels=["6", 0], vae=["1", 2])},
        {"edit"},
    ),
    "an edit by reference latents": (
        TEXT_TO_IMAGE
        | INPUT
        | {
            "3": node("KSampler", model=["1", 0], latent_image=["2", 0], positive=["7", 0]),
            "7": node("ReferenceLatent", latent=["8", 0]),
            "8": node("VAEEncode", pixels=["6", 0]),
        },
        {"edit"},
    ),
    "an image as a condition": (
        TEXT_TO_IMAGE
        | INPUT
        | {
            "3": node("KSampler", model=["1", 0], latent_image=["2", 0], positive=["7", 0]),
            "7": node("ControlNetApply", image=["6", 0]),
        },
        {"ref"},
    ),
    "a picture saved again": ({**INPUT, "5": node("SaveImage", images=["6", 0])}, {"edit", "notmade"}),
    "a control map": (
        TEXT_TO_IMAGE
        | INPUT
        | {"5": node("SaveImage", images=["7", 0]), "7": node("CannyEdge", image=["6", 0])},
        {"edit", "notmade"},
    ),
    "a generated picture and its input": (
        TEXT_TO_IMAGE | INPUT | {"9": node("SaveImage", images=["6", 0])},
        {"edit", "maybe"},
    ),
    "nodes of unusual inputs": (
        TEXT_TO_IMAGE | {"5": node("OwnImageSaving", data=["6", 0]), "6": node("OwnPipe", data=["4", 0])},
        set(),
    ),
    "a mask of a generated picture": (
        TEXT_TO_IMAGE
        | {"5": node("SaveImage", images=["6", 0]), "6": node("MaskToImage", mask=["7", 0])}
        | {"7": node("Segment", image=["4", 0])},
        {"notmade"},
    ),
    "a preview beside a saving node without input": (
        TEXT_TO_IMAGE | {"5": node("SaveImage"), "6": node("PreviewImage", images=["4", 0])},
        set(),
    ),
    "an upscaled picture": (
        {
            **INPUT,
            "7": node("UpscaleModelLoader", model_name="4x.pth"),
            "8": node("ImageUpscaleWithModel", image=["6", 0], upscale_model=["7", 0]),
            "9": node("SaveImage", images=["8", 0]),
        },
        {"edit"},
    ),
}


@pytest.mark.parametrize(("graph", "flags"), GRAPHS.values(), ids=GRAPHS)
def test_graphs_say_whether_a_picture_went_in_and_whether_one_was_made(graph, flags):
    assert set(read_graph(json.dumps(graph)).flags) == flags


def test_the_saving_node_is_found_by_the_name_of_the_file():
    graph = TEXT_TO_IMAGE | INPUT | {"9": node("SaveImage", images=["6", 0], filename_prefix="mask")}
    graph |= {"10": node("UNETLoader", unet_name="other.safetensors")}
    made = read_graph(json.dumps(graph), "a/ComfyUI_00001_.png")
    assert (made.models, set(made.flags)) == (("juggernautXL_v9.safetensors",), set())
    assert "notmade" in read_graph(json.dumps(graph), "a/mask_00001_.png").flags


@pytest.mark.parametrize(
    ("nodes", "models"),
    [
        ({"1": node("UNETLoader", unet_name="flux1-dev.sft")}, ["flux1-dev.sft"]),
        ({"1": node("UnetLoaderGGUF", unet_name="a/b/z_image.gguf")}, ["z_image.gguf"]),
        ({"1": node("VAELoader", vae_name="x.pt"), "2": node("LoraLoader", lora_name="y.safetensors")}, []),
        (
            {"1": node("CheckpointLoaderSimple", ckpt_name="colorAnim_BakedVae.ckpt")},
            ["colorAnim_BakedVae.ckpt"],
        ),
        (
            {"1": node("OpenAIGPTImage1", prompt="x"), "2": node("SaveImage", images=["1", 0])},
            ["OpenAIGPTImage1"],
        ),
        ({"1": node("IdeogramV3", model_name="V_3"), "2": node("SaveImage", images=["1", 0])}, ["V_3"]),
        ({"1": node("CapitalizeText", text="x"), "2": node("LoadImageNode", image="x")}, []),
    ],
)
def test_graphs_name_checkpoints_and_services_and_not_their_helpers(nodes, models):
    found = read_graph(json.dumps(nodes))
    assert list(found.models) == models
    assert ("api" in found.flags) == (models in (["OpenAIGPTImage1"], ["V_3"]))


@pytest.mark.parametrize(
    "data",
    [
        png(prompt=json.dumps(TEXT_TO_IMAGE), workflow='{"nodes": []}'),
        saved("WEBP", exif=exif(model="prompt:" + json.dumps(TEXT_TO_IMAGE), make='workflow:{"nodes": []}')),
        saved("WEBP", exif=exif(make="Prompt:" + json.dumps(TEXT_TO_IMAGE))),
        saved("JPEG", exif=exif(comment=b"ASCII\0\0\0" + json.dumps({"prompt": TEXT_TO_IMAGE}).encode())),
        saved("JPEG", exif=exif(comment=b"UNICODE\0" + json.dumps(TEXT_TO_IMAGE).encode("utf-16-le"))),
        saved("JPEG", comment=json.dumps(TEXT_TO_IMAGE).encode()),
    ],
    ids=["PNG", "older WebP", "newer WebP", "comment with prompt", "comment", "JPEG comment"],
)
def test_graphs_are_found_wherever_save_nodes_put_them(data):
    assert said(data) == ("comfy", ["juggernautXL_v9.safetensors"], set())
    assert evidence(data).says_generated


def test_a_graph_that_was_not_executed_is_told_apart():
    text = json.dumps({"nodes": [{"type": "X", "widgets_values": ["a\\b.safetensors", "vae-x.safetensors"]}]})
    assert said(png(workflow=text)) == ("comfy", ["b.safetensors"], {"workflow"})


def test_a_damaged_graph_still_names_its_files():
    text = json.dumps(TEXT_TO_IMAGE)[:-30]
    assert said(png(prompt=text)) == ("comfy", ["juggernautXL_v9.safetensors"], {"unparsed"})


def test_a_picture_that_a_graph_only_saved_is_not_called_generated():
    found = evidence(png(prompt=json.dumps(GRAPHS["a picture saved again"][0])))
    assert not found.says_generated
    assert any("no step before generates one" in claim.value for claim in found.claims)
