"""DIRE: the error map, where it is kept, the classifier behind it, and its published checkpoints."""

import numpy as np
import pytest
import torch
from torch import nn

from pixelkin.errors import ConfigError, MissingWeightsError, WeightsError
from pixelkin.images import from_pixels
from pixelkin.lab.backbones import ResNet50
from pixelkin.lab.detectors.dire import ADM, DIRE, ErrorMap, middle_square
from pixelkin.lab.external import Store
from pixelkin.lab.frozen.denoiser import SmallDenoiser
from pixelkin.lab.frozen.diffusion import invert, reconstruct
from pixelkin.lab.weights import save_tensors


class Waves(nn.Module):
    """Pixel by pixel, so that a batch's size changes no rounding; counts how often it is asked."""

    asked = 0

    def forward(self, x, t):
        self.asked += 1
        return torch.sin(3 * x + t / 500)


def picture(height=40, width=50):
    return from_pixels(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def small(**options):
    torch.manual_seed(0)
    return DIRE(**({"size": 32, "crop": 28} | options)).eval()


def test_the_paper_s_sizes():
    detector = DIRE()
    assert detector.prepare(picture(300, 70)).shape == (3, 256, 256)
    assert sum(p.numel() for p in detector.parameters()) == detector.card.parameters == 23_510_081


def test_the_map_is_the_absolute_error_in_half_grey_levels_cut_down():
    x = torch.rand(2, 3, 8, 8) * 2 - 1
    again = reconstruct(Waves(), invert(Waves(), x, 10), 10)
    found = ErrorMap(Waves(), 10)(x)
    assert found.dtype == torch.uint8
    for place in np.ndindex(*x.shape):
        wanted = min(abs(float(x[place]) - float(again[place])) * 127.5, 255)
        assert int(found[place]) == int(wanted)
    assert found.float().std() > 1


def test_the_classifier_sees_the_middle_of_the_map_by_imagenet_s_statistics():
    detector = small(steps=10)
    waves = Waves()
    detector.attach(waves, "waves")
    x = detector.prepare(picture())[None]
    cut = ErrorMap(Waves(), 10)(x)[..., 2:30, 2:30].float() / 255
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    wanted = detector.network((cut - mean) / deviation).squeeze(-1)
    torch.testing.assert_close(detector(x), wanted)
    assert waves.asked == 20


def test_training_sees_any_part_of_the_map_and_reaches_every_parameter():
    detector = small()
    detector.attach(Waves(), "waves")
    batch = torch.stack([detector.prepare(picture()), detector.prepare(picture(32, 32))])
    detector.train()
    torch.manual_seed(1)
    losses = {float(detector.loss(batch, torch.tensor([0, 1])).detach()) for _ in range(6)}
    assert len(losses) > 2
    detector.loss(batch, torch.tensor([0, 1])).backward()
    assert [n for n, p in detector.named_parameters() if p.grad is None] == []


def test_maps_are_kept_by_content_steps_and_denoiser(tmp_path):
    detector, waves = small(), Waves()
    detector.attach(waves, "waves", tmp_path)
    batch = torch.stack([detector.prepare(picture()), detector.prepare(picture(64, 32))])
    first = detector.maps(batch)
    asked = waves.asked
    torch.testing.assert_close(detector.maps(batch), first, rtol=0, atol=0)
    assert waves.asked == asked == 40
    files = list(tmp_path.rglob("*.npy"))
    assert {np.load(file).dtype for file in files} == {np.dtype(np.uint8)}
    detector.attach(waves, "others", tmp_path)
    detector.maps(batch[:1])
    assert len(list(tmp_path.rglob("*.npy"))) == len(files) + 1


def test_any_size_scores_and_a_batch_scores_as_its_members_alone():
    detector = small()
    detector.attach(Waves(), "waves")
    batch = torch.stack([detector.prepare(picture(*size)) for size in [(224, 224), (97, 131), (64, 300)]])
    alone = torch.cat([detector(x[None]) for x in batch])
    torch.testing.assert_close(detector(batch), alone, rtol=1e-4, atol=1e-5)
    assert 0 <= detector.score([picture(97, 131)])[0] <= 1


def test_precomputed_maps_need_no_denoiser():
    detector = small(precomputed=True)
    detector.equip(Store(allow_random=True), fresh=False)
    given = picture(32, 32)
    maps = detector.maps(detector.prepare(given)[None])
    torch.testing.assert_close(
        maps[0], torch.from_numpy(given.pixels).permute(2, 0, 1).float(), rtol=0, atol=0
    )
    assert detector.frozen is None
    assert 0 <= detector.score([given])[0] <= 1


def test_without_a_denoiser_it_says_what_is_missing(tmp_path):
    detector = small()
    with pytest.raises(MissingWeightsError, match=f"looks through {ADM}: `equip`"):
        detector.score([picture()])
    with pytest.raises(MissingWeightsError, match=r"options\.denoiser=FILE"):
        detector.equip(Store(tmp_path), fresh=False)
    with pytest.raises(WeightsError, match="nowhere"):
        small(denoiser=str(tmp_path / "nowhere")).equip(Store(tmp_path), fresh=False)


def test_a_denoiser_of_one_s_own_is_told_by_its_digest(tmp_path):
    torch.manual_seed(0)
    network, file = SmallDenoiser(), tmp_path / "small.safetensors"
    save_tensors(file, network.state_dict(), {"denoiser": network.shape})
    detector, store = small(denoiser=str(file)), Store(cache=tmp_path / "kept")
    detector.equip(store, fresh=False)
    assert len(store.used["denoiser small.safetensors"]) == 64
    x = detector.prepare(picture())[None]
    torch.testing.assert_close(detector.maps(x), ErrorMap(network.eval(), 20)(x).float(), rtol=0, atol=1)
    assert list((tmp_path / "kept").rglob("*.npy"))
    assert not [name for name in detector.state_dict() if not name.startswith("network.")]


def test_a_random_adm_is_said_to_be_and_nothing_of_it_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("pixelkin.lab.detectors.dire.load_adm", lambda *_: Waves())
    detector, store = small(), Store(allow_random=True, cache=tmp_path)
    detector.equip(store, fresh=True)
    detector.score([picture()])
    assert store.facts()["random"] == [ADM, "resnet50-imagenet"]
    assert not list(tmp_path.rglob("*.npy"))


@pytest.mark.parametrize("wrap", [lambda tensors: tensors, lambda tensors: {"model": tensors, "step": 1}])
def test_published_checkpoints_load(tmp_path, wrap):
    torch.manual_seed(0)
    tensors = ResNet50().state_dict()
    torch.save(wrap(tensors), tmp_path / "lsun_adm.pth")
    detector = small(precomputed=True)
    detector.load_checkpoint(tmp_path / "lsun_adm.pth")
    for name, tensor in tensors.items():
        torch.testing.assert_close(detector.network.state_dict()[name], tensor, rtol=0, atol=0)


def test_pictures_are_halved_resized_and_cut_as_adm_s_were():
    pixels = picture(140, 90).pixels
    halved = pixels.reshape(70, 2, 45, 2, 3).mean((1, 3))  # once: 70 x 45 is not twice 32
    found = middle_square(pixels, 45)
    assert found.shape == (45, 45, 3)
    assert np.abs(found - halved[12:57]).max() <= 1  # Pillow rounds after each axis
    assert middle_square(pixels, 32).shape == (32, 32, 3)
    assert middle_square(pixels[:20, :33], 32).shape == (32, 32, 3)
    np.testing.assert_array_equal(middle_square(pixels[:32, :40], 32), pixels[:32, 4:36])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": 200}, "multiple of 32, not 200"),
        ({"crop": 300}, "1 to size, here 256, not 300"),
        ({"steps": 30}, "one of 1, 2, 4"),
    ],
)
def test_sizes_that_cannot_be_are_refused(options, told):
    with pytest.raises(ConfigError, match=told):
        DIRE(**options)
