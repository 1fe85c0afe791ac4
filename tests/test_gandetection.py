"""GANDetection: patches, aggregation and checkpoints against slow writings-out of the official program."""

import numpy as np
import pytest
import torch
from torch import nn

from pixelkin.errors import ConfigError, MissingWeightsError, WeightsError
from pixelkin.images import from_pixels
from pixelkin.lab.detectors import gandetection as module
from pixelkin.lab.detectors.gandetection import LETTERS, GANDetection
from pixelkin.lab.external import Store


class Tiny(nn.Module):
    """Stands in for a network: two outputs of the means of a patch's quarters."""

    def __init__(self, *_, **__):
        super().__init__()
        self._fc = nn.Linear(12, 2)

    def forward(self, x):
        return self._fc(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(module, "EfficientNet", Tiny)
    torch.manual_seed(0)
    return GANDetection().eval()


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_it_has_the_paper_s_parameters():
    detector = GANDetection()
    assert sum(p.numel() for p in detector.parameters()) == detector.card.parameters == 87_761_010


def by_the_program(logits):
    """Sec. 8 (f): any patch synthetic: the greatest synthetic logit; else minus the greatest real one."""
    scores = []
    for patches in logits.tolist():
        if any(generated > real for real, generated in patches):
            scores.append(max(generated for _, generated in patches))
        else:
            scores.append(-max(real for real, _ in patches))
    return torch.tensor(scores)


@pytest.mark.parametrize("shift", [-2.0, 0.0, 2.0])
def test_one_patch_that_looks_generated_decides(shift):
    logits = torch.randn(50, 7, 2, generator=torch.Generator().manual_seed(1)) + torch.tensor([0, shift])
    torch.testing.assert_close(module.picture_scores(logits), by_the_program(logits))


def test_even_logits_are_real():
    torch.testing.assert_close(module.picture_scores(torch.ones(1, 3, 2)), torch.tensor([-1.0]))


def corners_slowly(height, width, patch=128):
    def stride(room, steps):
        step = room // steps
        while step % 8:
            step += 1
        return step or 8

    found, y = [], 0
    while y + patch <= height:
        x = 0
        while x + patch <= width:
            found.append((y, x))
            x += stride(width - patch, 10)
        y += stride(height - patch, 20)
    return found


@pytest.mark.parametrize("size", [(256, 256), (128, 128), (147, 137), (148, 138), (129, 400), (1024, 1000)])
def test_the_grid_is_the_program_s(size):
    grid = module.grid_corners(*size, 128)
    assert grid == corners_slowly(*size)
    assert all(y % 8 == x % 8 == 0 for y, x in grid)


def test_a_picture_of_256_pixels_has_153_places_in_the_grid():
    assert len(module.grid_corners(256, 256, 128)) == 153


def test_the_patches_are_the_picture_s_at_native_scale(tiny):
    pixels = noise(150, 170)
    patches = tiny.prepare(from_pixels(pixels))
    grid = corners_slowly(150, 170)
    assert patches.shape == (200 + len(grid), 3, 128, 128)
    whole = tiny.normalise(torch.from_numpy(pixels).permute(2, 0, 1))
    places = module.random_corners(pixels, 128, 200) + grid
    for patch, (y, x) in zip(patches, places, strict=True):
        torch.testing.assert_close(patch, whole[:, y : y + 128, x : x + 128], rtol=0, atol=0)
    rows, columns = zip(*places[:200], strict=True)
    assert (min(rows), max(rows), min(columns), max(columns)) == (0, 22, 0, 42)


def test_the_random_crops_are_drawn_by_content_alone():
    first, again, other = (module.random_corners(noise(200, 200, seed), 128, 200) for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("size", [(40, 300), (128, 60), (128, 128), (7, 5)])
def test_a_side_under_a_patch_is_repeated(tiny, size):
    patches = tiny.prepare(from_pixels(noise(*size)))
    lone = size[0] <= 128 and size[1] <= 128
    assert len(patches) == (2 if lone else 200 + len(corners_slowly(128, size[1])))
    if size[0] < 64:
        torch.testing.assert_close(patches[:, :, size[0] : 2 * size[0]], patches[:, :, : size[0]])
    assert tiny(patches[None]).shape == (1,)


def test_fewer_patches_are_an_even_selection(monkeypatch):
    monkeypatch.setattr(module, "EfficientNet", Tiny)
    detector = GANDetection(patches=5)
    grid = module.grid_corners(256, 256, 128)
    chosen = module.evenly(grid, 5)
    assert [grid.index(corner) for corner in chosen] == [0, 38, 76, 114, 152]
    assert detector.prepare(from_pixels(noise(256, 256))).shape == (10, 3, 128, 128)
    assert GANDetection(patches=1).eval().score([from_pixels(noise(256, 256))])
    assert GANDetection(patch=64).prepare(from_pixels(noise(64, 64))).shape == (2, 3, 64, 64)


def test_the_first_network_sees_the_crops_the_others_the_grid_and_the_mean_is_the_logit(tiny):
    patches = tiny.prepare(from_pixels(noise(150, 150)))
    expected = []
    for place, network in enumerate(tiny.networks):
        own = patches[:200] if place == 0 else patches[200:]
        expected.append(by_the_program(torch.stack([network(p[None])[0] for p in own])[None]))
    with torch.no_grad():
        scores = tiny.network_scores(patches[None])
        torch.testing.assert_close(scores, torch.stack(expected, -1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(tiny(patches[None]), torch.cat(expected).mean()[None])


def test_each_network_learns_from_its_own_fifth(tiny):
    batch = torch.rand(10, 2, 3, 128, 128, requires_grad=True)
    labels = torch.arange(10) % 2
    losses = [
        nn.functional.cross_entropy(network(batch[place::5, min(place, 1)]), labels[place::5])
        for place, network in enumerate(tiny.networks)
    ]
    torch.testing.assert_close(tiny.loss(batch, labels), torch.stack(losses).mean())


@pytest.mark.parametrize("members", [1, 4, 5, 7])
@pytest.mark.parametrize("training", [False, True])
def test_every_parameter_gets_a_gradient_from_a_batch_of_any_size(tiny, members, training):
    tiny.train(training)
    tiny.loss(torch.rand(members, 2, 3, 128, 128), torch.arange(members) % 2).backward()
    assert [name for name, p in tiny.named_parameters() if p.grad is None] == []


def test_degradations_differ_by_network_and_leave_a_patch_alone_at_even_odds():
    patch = np.repeat(noise(16, 16), 4, 0).repeat(4, 1)
    for network, expected in enumerate([1.0, 0.5, 0.5, 0.5, 0.625]):
        drawn = [module.degrade_one(patch, network, np.random.default_rng(seed)) for seed in range(200)]
        untouched = np.mean([np.array_equal(each, patch) for each in drawn])
        assert all(each.shape == patch.shape for each in drawn)
        assert untouched == pytest.approx(expected, abs=0.12)


def test_what_is_not_degraded_is_shown_as_it_was(tiny):
    x = tiny.prepare(from_pixels(noise(128, 128)))[None]
    torch.testing.assert_close(module._degraded(x, 0), x, rtol=0, atol=1e-6)


def official(network, seed):
    """A network's state dict as published; its numbers say whose they are."""
    renamed = {}
    for name, value in network.state_dict().items():
        whose = name.replace("_fc.", "classifier.") if "_fc." in name else f"efficientnet.{name}"
        renamed[whose] = torch.full_like(value, seed)
    return renamed


def test_five_published_files_load_in_either_form(tmp_path):
    detector = GANDetection()
    for seed, letter in enumerate(LETTERS):
        tensors = official(detector.networks[0], seed)
        assert {"efficientnet._conv_stem.weight", "classifier.weight"} <= tensors.keys()
        torch.save({"net": tensors} if seed % 2 else tensors, tmp_path / f"method_{letter}.pth")
    detector.load_checkpoint(tmp_path)
    for seed, network in enumerate(detector.networks):
        assert all((value == seed).all() for value in network.parameters())


def test_a_missing_or_foreign_file_changes_nothing(tiny, tmp_path):
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    for letter in "ABDE":
        torch.save(official(tiny.networks[0], 1), tmp_path / f"method_{letter}.pth")
    with pytest.raises(MissingWeightsError, match=r"gandetection-c .*method_C\.pth"):
        tiny.load_checkpoint(tmp_path)
    torch.save({"classifier.weight": torch.zeros(1)}, tmp_path / "method_C.pth")
    with pytest.raises(WeightsError, match="missing"):
        tiny.load_checkpoint(tmp_path / "method_A.pth")
    assert all((value == before[name]).all() for name, value in tiny.state_dict().items())


def test_training_starts_without_the_finished_files(tiny, tmp_path):
    tiny.equip(Store(tmp_path), fresh=True)


@pytest.mark.parametrize("options", [{"patch": 32}, {"patches": -1}, {"variant": "b9"}])
def test_options_that_are_none_are_refused(options):
    with pytest.raises(ConfigError, match=str(next(iter(options.values())))):
        GANDetection(**options)
