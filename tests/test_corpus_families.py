"""Families by real names of checkpoints and services; duplicates by difference hashes."""

import numpy as np
import pytest
from tiny import EXAMPLES

from pixelkin.images import encode, read, thumbnail
from pixelkin.lab.corpus.duplicates import BITS, DISTANCE, difference_hash, find_duplicates
from pixelkin.lab.corpus.families import family_of, names, title_of


def png(pixels, **options):
    return encode(np.ascontiguousarray(pixels), "PNG", **options)


REAL_NAMES = {
    "sd1": "dreamshaper_8.safetensors v1-5-pruned-emaonly.ckpt revAnimated_v11 majicmixRealistic_v6 "
    "realisticVisionV51_v51VAE anything-v4.5-pruned chilloutmix_NiPrunedFp32Fix meinamix_meinaV11 photon_v1",
    "sd2": "v2-1_768-ema-pruned.ckpt 512-base-ema.ckpt sd_turbo.safetensors stable-diffusion-2-1",
    "sdxl": "sd_xl_base_1.0.safetensors juggernautXL_v9 ponyDiffusionV6XL animagine-xl-3.1 "
    "illustriousXL_v01 dreamshaperXL_lightningDPMSDE RealVisXL_V4.0 waiNSFWIllustrious_v140",
    "sd3": "sd3.5_large.safetensors sd3_medium_incl_clips StabilityStableImageUltraNode",
    "flux1": "flux1-dev.safetensors flux1-schnell-Q4_K_S.gguf FLUX.1-dev chroma-unlocked-v35",
    "flux2": "flux2_dev_fp8mixed.safetensors flux-2-klein-4b",
    "kontext": "flux1-dev-kontext_fp8_scaled.safetensors FluxKontextProImageNode",
    "z-image": "z_image_turbo_bf16.safetensors Z-Image-Turbo",
    "qwen-image": "qwen_image_fp8_e4m3fn.safetensors qwen_image_edit_2509",
    "hidream": "hidream_i1_full_fp8.safetensors",
    "hunyuan": "hunyuan_dit_1.2.safetensors",
    "video-frames": "hunyuan_video_t2v_720p_bf16 wan2.1_t2v_1.3B_bf16 ltx-video-2b-v0.9.5 mm_sd_v15_v2.ckpt",
    "pixart": "PixArt-Sigma-XL-2-1024-MS.pth",
    "sana": "Sana_1600M_1024px.pth",
    "kandinsky": "kandinsky-2-2 ruDALL-E",
    "playground": "playground-v2.5-1024px-aesthetic.fp16.safetensors",
    "kolors": "Kolors.safetensors chatglm3-8bit.safetensors",
    "cascade": "stable_cascade_stage_c.safetensors",
    "dalle2": "OpenAIDalle2 DALL-E_2",
    "dalle3": "OpenAIDalle3 DALL·E",
    "gpt-image": "gpt-image-1 ChatGPT OpenAIGPTImage1",
    "midjourney": "midjourney niji-6",
    "ideogram": "IdeogramV3",
    "grok": "grok-2-image",
    "novelai": "NovelAI_Diffusion_V4_37442FCA",
    "stylegan2": "StyleGAN2-ADA stylegan2-ffhq-config-f",
    "stylegan3": "stylegan3-r-ffhq-1024x1024",
    "stylegan1": "StyleGAN",
    "stylegan-successors": "StyleGAN-XL EG3D",
    "progan": "ProGAN",
    "biggan": "BigGAN-deep",
    "image-translation": "CycleGAN pix2pix AnimeGANv2",
    "vq-model": "VQGAN dalle-mini",
    "ldm": "latent-diffusion",
    "adm": "guided-diffusion",
    "glide": "GLIDE glid-3-xl",
    "super-resolution": "R-ESRGAN_4x+ SwinIR",
    "face-restoration": "GFPGAN CodeFormer",
    "face-swap": "inswapper_128.onnx",
    "clip-guided": "Big_Sleep VQGAN+CLIP Disco_Diffusion",
    "autoregressive": "Janus-Pro-7B Muse",
}


@pytest.mark.parametrize(("family", "generators"), REAL_NAMES.items(), ids=REAL_NAMES)
def test_checkpoints_and_services_belong_to_their_families(family, generators):
    assert {name: family_of(name) for name in generators.split()} == dict.fromkeys(generators.split(), family)


def test_services_with_a_name_of_several_words_have_families():
    named = {
        "Image Creator from Designer;Microsoft Responsible AI Image Provenance": "dalle3",
        "GPT-4o;OpenAI API": "gpt-image",
        "Google C2PA Core Generator Library": "gemini-image",
        "Made with Google AI": "gemini-image",
        "Gemini 2.5 Flash Image": "gemini-image",
        "Imagen 4": "imagen",
        "Adobe Firefly": "firefly",
        "xAI Grok": "grok",
    }
    assert {name: family_of(name) for name in named} == named


def test_a_name_that_nobody_knows_is_open_or_a_service_by_its_evidence():
    assert family_of("somethingMix_v20.safetensors", "comfy") == "other-open"
    assert family_of("Some Studio 3", "c2pa-ai") == "other-service"
    assert family_of("nobodyNode", "comfy+api") == "other-service"
    assert family_of("", "") == "other-open"
    assert family_of("nobody;flux1-dev.safetensors") == "flux1"


def test_families_have_unique_names_and_titles():
    assert len(set(names())) == len(names())
    assert len({title_of(name) for name in names()}) == len(names())


def test_a_hash_outlives_scaling_and_compression_and_tells_pictures_apart():
    whole = read(EXAMPLES / "photo-coffee.png").pixels
    variants = [
        thumbnail(encode(whole, "JPEG", quality=40), 256),
        thumbnail(png(whole[::2, ::2]), 256),
        thumbnail(encode(np.clip(whole.astype(int) + 12, 0, 255).astype(np.uint8), "WEBP", quality=60), 256),
    ]
    hashes = [difference_hash(pixels)[0] for pixels in (whole, *variants)]
    assert set(find_duplicates(hashes)) == {1, 2, 3}
    others = [difference_hash(read(file).pixels)[0] for file in sorted(EXAMPLES.glob("photo-*"))]
    assert find_duplicates(others) == {}


def test_duplicates_are_those_within_the_distance_and_nothing_hangs_on_what_was_dropped():
    bits = np.random.default_rng(0).integers(0, 2, BITS, np.uint8)

    def changed(*ranges):
        new = bits.copy()
        for start, stop in ranges:
            new[start:stop] ^= 1
        return np.packbits(new).tobytes().hex()

    hashes = [changed(), changed((0, DISTANCE)), changed((0, DISTANCE + 1)), changed((0, 2 * DISTANCE))]
    assert find_duplicates(hashes) == {1: 0, 3: 2}
    assert find_duplicates(hashes, allowed=lambda *pair: pair[1] == 1) == {2: 1, 3: 1}
    assert find_duplicates([]) == {}


def test_many_hashes_are_compared_as_a_loop_compares_them():
    rng = np.random.default_rng(1)
    packed = rng.integers(0, 256, (1500, BITS // 8), np.uint8)
    packed[rng.integers(0, 1500, 200)] = packed[rng.integers(0, 1500, 200)]
    hashes = [row.tobytes().hex() for row in packed]
    numbers = [int(each, 16) for each in hashes]
    expected, kept = {}, []
    for place, number in enumerate(numbers):
        like = next((k for k in kept if (numbers[k] ^ number).bit_count() <= DISTANCE), None)
        if like is None:
            kept.append(place)
        else:
            expected[place] = like
    assert find_duplicates(hashes) == expected
