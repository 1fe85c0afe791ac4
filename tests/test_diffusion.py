"""DDIM against slow loops and exact cases; ADM's tensors against a forward written from its description."""

import logging
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pixelkin.errors import ConfigError, DataError, WeightsError
from pixelkin.images import encode
from pixelkin.lab.frozen.denoiser import SmallDenoiser, load_small, main, train_denoiser, velocity_loss
from pixelkin.lab.frozen.diffusion import (
    AdmDenoiser,
    adm_unet,
    from_adm,
    invert,
    levels,
    load_adm,
    reconstruct,
)
from pixelkin.lab.weights import load_strictly, save_tensors

STEPS = 20


def slow_levels():
    """Betas from 0.0001 to 0.02 in 1000 even steps; their complements multiplied one after another."""
    level, found = 1.0, []
    for t in range(1000):
        level *= 1 - (0.0001 + (0.02 - 0.0001) * t / 999)
        found.append(level)
    return found


def slow_walk(denoiser, x, passed):
    """The formula of the module, pixel by pixel, in double precision; ``passed`` holds (t, a, a') triples."""
    x = x.double()
    for t, a, following in passed:
        noise = denoiser(x, t)
        moved = torch.empty_like(x)
        for place in np.ndindex(*x.shape):
            clean = (float(x[place]) - math.sqrt(1 - a) * float(noise[place])) / math.sqrt(a)
            clean = min(max(clean, -1.0), 1.0)
            again = (float(x[place]) - math.sqrt(a) * clean) / math.sqrt(1 - a)
            moved[place] = math.sqrt(following) * clean + math.sqrt(1 - following) * again
        x = moved
    return x


def some_denoiser(x, t):
    """Smooth, mixes neighbours, depends on the timestep, and makes clipping happen."""
    return torch.sin(x * 2 + t / 300) + 0.3 * x.roll(1, -1)


def test_levels_are_the_cumulated_linear_schedule():
    torch.testing.assert_close(levels(), torch.tensor(slow_levels(), dtype=torch.float64), rtol=1e-12, atol=0)


@pytest.mark.parametrize("steps", [20, 8])
def test_inversion_is_the_formula_with_the_clean_picture_at_the_first_level_and_noise_alone_at_the_last(
    steps,
):
    x, a = torch.rand(2, 3, 4, 4) * 2 - 1, slow_levels()
    ts = range(0, 1000, 1000 // steps)
    passed = [(t, a[t], a[t + 1000 // steps] if t + 1000 // steps < 1000 else 0.0) for t in ts]
    expected = slow_walk(some_denoiser, x, passed).float()
    torch.testing.assert_close(invert(some_denoiser, x, steps), expected, rtol=1e-3, atol=1e-3)
    doubled = invert(some_denoiser, x.double(), steps)
    torch.testing.assert_close(doubled, slow_walk(some_denoiser, x, passed), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("steps", [20, 8])
def test_reconstruction_is_the_formula_down_to_the_clean_picture(steps):
    noise, a = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)), slow_levels()
    stride = 1000 // steps
    passed = [(t, a[t], a[t - stride] if t else 1.0) for t in reversed(range(0, 1000, stride))]
    doubled = reconstruct(some_denoiser, noise.double(), steps)
    torch.testing.assert_close(doubled, slow_walk(some_denoiser, noise, passed), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        reconstruct(some_denoiser, noise, steps), doubled.float(), rtol=1e-3, atol=1e-3
    )


def test_a_denoiser_that_knows_one_picture_only_returns_it():
    known = torch.rand(1, 3, 8, 8) * 2 - 1
    a = levels()

    def denoiser(x, t):
        return (x - a[t].sqrt() * known) / (1 - a[t]).sqrt()

    again = reconstruct(denoiser, invert(denoiser, known))
    torch.testing.assert_close(again, known, rtol=0, atol=1e-5)
    outside = known * 3  # x_0 is clipped, so that nothing outside [-1, 1] comes back
    known = outside
    again = reconstruct(denoiser, invert(denoiser, outside.clamp(-1, 1)))
    torch.testing.assert_close(again, outside.clamp(-1, 1), rtol=0, atol=1e-5)


def test_on_white_noise_the_picture_comes_back_shrunk_by_the_cosines_of_the_steps():
    a = levels()
    angles = [math.acos(math.sqrt(float(a[t]))) for t in range(0, 1000, 50)]
    out = math.prod(math.cos(q - p) for p, q in zip(angles, [*angles[1:], math.pi / 2], strict=True))
    back = math.prod(math.cos(q - p) for p, q in zip([0.0, *angles[:-1]], angles, strict=True))
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64) * 2 - 1

    def denoiser(x, t):  # the mean of the noise in x where the data are N(0, 1)
        return (1 - a[t]).sqrt() * x

    noise = invert(denoiser, x)
    torch.testing.assert_close(noise, out * x, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(reconstruct(denoiser, noise), out * back * x, rtol=1e-9, atol=1e-12)
    assert 0.8 < out * back < 0.99


@pytest.mark.parametrize("steps", [0, 30, -20])
def test_steps_that_do_not_divide_the_schedule_are_refused(steps):
    with pytest.raises(ConfigError, match=f"one of 1, 2, 4, .*not {steps}"):
        invert(some_denoiser, torch.zeros(1, 3, 4, 4), steps)


def layer(name, *shape):
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def residual_shapes(name, c_in, c_out, wide):
    return {
        **layer(f"{name}.in_layers.0", c_in),
        **layer(f"{name}.in_layers.2", c_out, c_in, 3, 3),
        **layer(f"{name}.emb_layers.1", 2 * c_out, wide),
        **layer(f"{name}.out_layers.0", c_out),
        **layer(f"{name}.out_layers.3", c_out, c_out, 3, 3),
        **(layer(f"{name}.skip_connection", c_out, c_in, 1, 1) if c_in != c_out else {}),
    }


def attention_shapes(name, c):
    return layer(f"{name}.norm", c) | layer(f"{name}.qkv", 3 * c, c, 1) | layer(f"{name}.proj_out", c, c, 1)


def falling_shapes(channels, multipliers, attention):
    """The input blocks, and the channels of what each leaves for the output blocks."""
    found, now, passed = layer("input_blocks.0.0", channels, 3, 3, 3), channels, [channels]
    for level, multiplier in enumerate(multipliers):
        for which in range(3 if level < len(multipliers) - 1 else 2):  # a third one halves
            name = f"input_blocks.{len(passed)}"
            found |= residual_shapes(f"{name}.0", now, channels * multiplier, 4 * channels)
            now = channels * multiplier
            found |= attention_shapes(f"{name}.1", now) if level in attention and which < 2 else {}
            passed.append(now)
    return found, passed


def rising_shapes(channels, multipliers, attention, passed):
    found, now, place = {}, passed[-1], 0
    for level in reversed(range(len(multipliers))):
        for which in range(3):
            name, c = f"output_blocks.{place}", channels * multipliers[level]
            found |= residual_shapes(f"{name}.0", now + passed.pop(), c, 4 * channels)
            found |= attention_shapes(f"{name}.1", c) if level in attention else {}
            if level and which == 2:  # doubles
                found |= residual_shapes(f"{name}.{1 + (level in attention)}", c, c, 4 * channels)
            now, place = c, place + 1
    return found


def official_shapes(channels, multipliers, attention):
    """Names and shapes of ADM's checkpoints, by its architecture: 2 residual blocks per level."""
    wide, deep = 4 * channels, channels * multipliers[-1]
    falling, passed = falling_shapes(channels, multipliers, attention)
    return {
        **layer("time_embed.0", wide, channels),
        **layer("time_embed.2", wide, wide),
        **falling,
        **residual_shapes("middle_block.0", deep, deep, wide),
        **attention_shapes("middle_block.1", deep),
        **residual_shapes("middle_block.2", deep, deep, wide),
        **rising_shapes(channels, multipliers, attention, passed),
        **layer("out.0", channels * multipliers[0]),
        **layer("out.2", 6, channels * multipliers[0], 3, 3),
    }


def halved(h):
    return F.avg_pool2d(h, 2)


def doubled(h):
    return h.repeat_interleave(2, -1).repeat_interleave(2, -2)


def same(h):
    return h


class OfficialADM:
    """ADM's U-Net, levels of 32, 64 and 64 channels, the last two with attention, out of its tensors."""

    def __init__(self, tensors, head):
        self.w, self.head = tensors, head

    def norm(self, name, h):
        return F.group_norm(h, 32, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def conv(self, name, h):
        weight = self.w[f"{name}.weight"]
        return F.conv2d(h, weight, self.w[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def linear(self, name, h):
        return F.linear(h, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def embedding(self, t, channels=32):
        angles = [t * math.exp(-math.log(10000) * i / (channels // 2)) for i in range(channels // 2)]
        waves = torch.tensor([*map(math.cos, angles), *map(math.sin, angles)], dtype=torch.float64)
        return self.linear("time_embed.2", F.silu(self.linear("time_embed.0", waves[None])))

    def residual(self, name, h, change=same):
        y = self.conv(f"{name}.in_layers.2", change(F.silu(self.norm(f"{name}.in_layers.0", h))))
        scale, shift = self.linear(f"{name}.emb_layers.1", F.silu(self.emb))[..., None, None].chunk(2, 1)
        y = self.norm(f"{name}.out_layers.0", y) * (1 + scale) + shift
        y = self.conv(f"{name}.out_layers.3", F.silu(y))
        skip = f"{name}.skip_connection"
        return y + (self.conv(skip, h) if f"{skip}.weight" in self.w else change(h))

    def attend(self, name, h):
        qkv = self.w[f"{name}.qkv.weight"][..., 0] @ self.norm(f"{name}.norm", h).flatten(2)
        joined = []
        for one in (qkv + self.w[f"{name}.qkv.bias"][:, None]).split(3 * self.head, 1):
            q, k, v = one.split(self.head, 1)  # head by head: queries, keys, values
            joined.append(v @ torch.softmax(q.mT @ k / math.sqrt(self.head), -1).mT)
        y = self.w[f"{name}.proj_out.weight"][..., 0] @ torch.cat(joined, 1)
        return h + (y + self.w[f"{name}.proj_out.bias"][:, None]).reshape(h.shape)

    def __call__(self, x, t):
        self.emb = self.embedding(t)
        h = self.conv("input_blocks.0.0", x)
        passed = [h]
        for n in range(1, 9):
            h = self.residual(f"input_blocks.{n}.0", h, halved if n in (3, 6) else same)
            h = self.attend(f"input_blocks.{n}.1", h) if n in (4, 5, 7, 8) else h
            passed.append(h)
        h = self.attend("middle_block.1", self.residual("middle_block.0", h))
        h = self.residual("middle_block.2", h)
        for n in range(9):
            h = self.residual(f"output_blocks.{n}.0", torch.cat([h, passed.pop()], 1))
            h = self.attend(f"output_blocks.{n}.1", h) if n < 6 else h
            h = self.residual(f"output_blocks.{n}.2", h, doubled) if n in (2, 5) else h
        return self.conv("out.2", F.silu(self.norm("out.0", h)))


SMALL = {"channels": 32, "multipliers": (1, 2, 2), "attention": (1, 2)}


def random_tensors(shapes):
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64)
        / math.sqrt(max(1, math.prod(shape[1:])))
        for name, shape in shapes.items()
    }


def test_adm_s_tensors_in_diffusers_answer_as_adm_does():
    tensors = random_tensors(official_shapes(**SMALL))
    network = adm_unet(**SMALL, head=16).double()
    load_strictly(network, from_adm(tensors, network.config), "here")
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    expected = OfficialADM(tensors, head=16)(x, 450)
    # The embedding of the timestep is computed in single precision.
    torch.testing.assert_close(network(x, 450).sample, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(AdmDenoiser(network)(x, 450), expected[:, :3], rtol=1e-4, atol=1e-4)


def test_every_tensor_of_the_published_adm_has_its_place():
    shapes = official_shapes(256, (1, 1, 2, 2, 4, 4), (3, 4, 5))
    assert len(shapes) == 566
    assert sum(map(math.prod, shapes.values())) == 552_814_086
    with torch.device("meta"):
        network = adm_unet()
        renamed = from_adm({name: torch.empty(shape) for name, shape in shapes.items()}, network.config)
    wanted = {name: tensor.shape for name, tensor in network.state_dict().items()}
    assert {name: tensor.shape for name, tensor in renamed.items()} == wanted
    assert sum(p.numel() for p in network.parameters()) == 552_814_086


def test_tensors_of_another_network_are_refused(monkeypatch):
    monkeypatch.setattr("pixelkin.lab.frozen.diffusion.adm_unet", lambda: adm_unet(**SMALL, head=16))
    tensors = random_tensors(official_shapes(**SMALL))
    assert isinstance(load_adm({k: v.float() for k, v in tensors.items()}, "here"), AdmDenoiser)
    with pytest.raises(WeightsError, match=r"here: .*1 unknown \(label_emb\.weight\)"):
        load_adm(tensors | {"label_emb.weight": torch.zeros(1)}, "here")


def test_the_small_denoiser_s_loss_is_that_of_the_noise_it_tells():
    """velocity = sqrt(a) noise - sqrt(1 - a) x, so that noise = sqrt(1 - a) x_t + sqrt(a) velocity."""
    torch.manual_seed(0)
    network = SmallDenoiser().eval()
    x, noise, a = torch.rand(1, 3, 32, 32) * 2 - 1, torch.randn(1, 3, 32, 32), levels()[400].float()
    noisy = a.sqrt() * x + (1 - a).sqrt() * noise
    right = a.sqrt() * noise - (1 - a).sqrt() * x
    off = (network.velocity(noisy, torch.tensor([400])) - right) * a.sqrt()
    torch.testing.assert_close(network(noisy, 400) - noise, off, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in network.parameters()) == 691_104
    assert velocity_loss(network, x) > 0


@pytest.fixture
def photographs(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "a.png").write_bytes(encode(pixels, "PNG"))
    (tmp_path / "photographs" / "tiny.png").write_bytes(encode(pixels[:9], "PNG"))
    (tmp_path / "photographs" / "broken.png").write_bytes(b"nothing")
    return tmp_path / "photographs"


def test_a_denoiser_is_trained_written_and_read_again(photographs, tmp_path, caplog):
    out = tmp_path / "made" / "small.safetensors"
    loss = train_denoiser(photographs, out, steps=12, side=16, batch=8)
    assert 0 < loss < 3
    x = torch.rand(2, 3, 16, 24)
    torch.testing.assert_close(load_small(out)(x, 50), load_small(out)(x, 50), rtol=0, atol=0)
    train_denoiser(photographs, tmp_path / "again", steps=12, side=16, batch=8)
    torch.testing.assert_close(load_small(out)(x, 50), load_small(tmp_path / "again")(x, 50), rtol=0, atol=0)
    assert "broken.png" in caplog.text


def test_the_command_trains_and_says_what_is_wrong(photographs, tmp_path, monkeypatch, capsys):
    command = ["denoiser", "--data", str(photographs), "--out", str(tmp_path / "f"), "--side", "16"]
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    monkeypatch.setattr("sys.argv", [*command, "--steps", "2", "--batch", "8"])
    main()
    assert (tmp_path / "f").exists()
    monkeypatch.setattr("sys.argv", [*command, "--batch", "9"])
    with pytest.raises(SystemExit):
        main()
    assert "multiples of 8, not 16 and 9" in capsys.readouterr().err
    with pytest.raises(DataError, match="3 photographs give no crops: 64 pixels"):
        train_denoiser(photographs, tmp_path / "g", side=64)


def test_a_file_without_a_denoiser_is_refused(tmp_path):
    save_tensors(tmp_path / "w", {"a": torch.zeros(1)}, {})
    with pytest.raises(WeightsError, match="holds no denoiser"):
        load_small(tmp_path / "w")
