"""FrePGAN: the perturbation by its definition, each loss's way to its own network, and no collapse."""

import cmath

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pixelkin.errors import ConfigError
from pixelkin.images import from_pixels
from pixelkin.lab.detectors.frepgan import FrePGAN
from pixelkin.lab.external import Store

PARTS = ("classifier", "generator", "discriminator")


@pytest.fixture(scope="module")
def shrunk():
    torch.manual_seed(0)
    return FrePGAN(width=8).eval()


def pictures(count, height=32, width=32):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, height, width, generator=generator) * 2 - 1


def gradients(detector, loss):
    detector.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in detector.named_parameters() if p.grad is not None}


def transform(x, sign):
    """The orthonormal two-dimensional Fourier transform as the double sum that defines it; list of rows."""
    height, width = len(x), len(x[0])
    found = [[0j] * width for _ in range(height)]
    for u in range(height):
        for v in range(width):
            total = sum(
                x[i][j] * cmath.exp(sign * 2j * cmath.pi * (u * i / height + v * j / width))
                for i in range(height)
                for j in range(width)
            )
            found[u][v] = total / (height * width) ** 0.5
    return found


def test_the_paper_s_networks_have_the_card_s_number_of_parameters():
    detector = FrePGAN()
    counts = [sum(p.numel() for p in getattr(detector, part).parameters()) for part in PARTS]
    assert counts == [23_510_081, 10_903_686, 2_757_057]
    assert sum(counts) == detector.card.parameters
    assert detector.card.label == "FrePGAN (reconstruction)"


@pytest.mark.parametrize("size", [(6, 4), (5, 8)])
def test_the_perturbation_is_the_bounded_real_part_of_a_changed_spectrum(size):
    detector = FrePGAN(width=8)
    detector.generator = torch.nn.Module()
    seen = []

    def changed(parts):  # frequency zero stands at (H // 2, W // 2)
        seen.append(parts)
        return torch.cat([parts[:, 3:] + 0.3, 2 * parts[:, :3]], 1)

    detector.generator.forward = changed
    height, width = size
    x = pictures(1, height, width)
    found = detector.perturbation(x)
    for c in range(3):
        spectrum = transform(x[0, c].tolist(), -1)
        for u in range(height):
            for v in range(width):
                place = (u + height // 2) % height, (v + width // 2) % width
                assert (
                    abs(complex(*(float(seen[0][0, k, *place]) for k in (c, 3 + c))) - spectrum[u][v]) < 1e-5
                )
        other = [[complex(value.imag + 0.3, 2 * value.real) for value in row] for row in spectrum]
        real = torch.tensor([[value.real for value in row] for row in transform(other, 1)])
        torch.testing.assert_close(found[0, c], 0.1 * torch.tanh(real), rtol=0, atol=1e-5)


def test_the_classifier_sees_the_perturbed_picture(shrunk):
    x = pictures(2)
    wanted = shrunk.classifier(x + shrunk.perturbation(x)).squeeze(-1)
    torch.testing.assert_close(shrunk(x), wanted)


@pytest.mark.parametrize("size", [(224, 224), (97, 131), (64, 300), (32, 32), (34, 46)])
def test_any_size_scores(shrunk, size):
    picture = from_pixels(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
    assert shrunk.perturbation(shrunk.prepare(picture)[None]).shape == (1, 3, *size)
    assert 0 <= shrunk.score([picture])[0] <= 1


def test_a_batch_scores_as_its_members_alone(shrunk):
    x = pictures(3)
    torch.testing.assert_close(shrunk(x), torch.cat([shrunk(one[None]) for one in x]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("labels", [[0, 1, 1, 0], [1, 1, 1, 1]])
def test_each_network_is_reached_by_its_own_loss_alone(shrunk, labels):
    x, y = pictures(4), torch.tensor(labels)
    together = gradients(shrunk, shrunk.loss(x, y))
    assert together.keys() == dict(shrunk.named_parameters()).keys()
    added = shrunk.perturbation(x)
    held = (x + added).detach()
    terms = {
        "classifier": shrunk.classifier_loss(held, y),
        "discriminator": shrunk.discriminator_loss(x[y == 0], held),
        "generator": shrunk.generator_loss(x + added, added),
    }
    for part, term in terms.items():
        own = gradients(shrunk, term)
        assert {name.split(".")[0] for name in own} == {part}
        for name, gradient in own.items():
            torch.testing.assert_close(together[name], gradient, rtol=1e-4, atol=1e-7)
            assert gradient.abs().sum() > 0 or ".bias" in name


def test_the_losses_are_the_cross_entropies_they_are_said_to_be(shrunk):
    x, y = pictures(4), torch.tensor([0.0, 1, 1, 0])
    added = shrunk.perturbation(x)
    logits = shrunk.discriminator(x + added)
    real = shrunk.discriminator(x[y == 0])
    cross = F.binary_cross_entropy_with_logits
    d = cross(real, torch.zeros(2)) + cross(logits, torch.ones(4))
    g = cross(logits, torch.zeros(4)) + 0.1 * (added / 0.1).square().mean()
    torch.testing.assert_close(shrunk.discriminator_loss(x[y == 0], x + added), d)
    torch.testing.assert_close(shrunk.generator_loss(x + added, added), g)
    torch.testing.assert_close(shrunk.loss(x, y), d + g + cross(shrunk(x), y))


def test_all_pictures_can_be_the_originals():
    torch.manual_seed(0)
    detector = FrePGAN(width=8, originals="all").eval()
    x, y = pictures(2), torch.tensor([1, 1])
    added = detector.perturbation(x)
    wanted = detector.classifier_loss(x + added, y) + detector.discriminator_loss(x, x + added)
    torch.testing.assert_close(detector.loss(x, y), wanted + detector.generator_loss(x + added, added))


def test_training_neither_stills_the_perturbation_nor_drives_it_to_its_bound():
    torch.manual_seed(0)
    detector = FrePGAN(width=8, strength=0.2)
    detector.classifier = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 1))
    adam = torch.optim.Adam(detector.groups(), lr=1e-3)
    smooth = F.interpolate(pictures(4, 4, 4), 32, mode="bicubic").clamp(-1, 1)
    x = torch.cat([smooth, smooth.flip(-1) + 0.2 * (-1.0) ** torch.arange(32)])  # "generated": striped
    y = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    before = detector.perturbation(x).detach()
    for _ in range(25):
        adam.zero_grad()
        detector.loss(x, y).backward()
        adam.step()
    added = detector.perturbation(x).detach().abs() / 0.2
    assert 0.02 < added.mean() < 0.9
    assert (added > 0.99).float().mean() < 0.5
    assert (detector.perturbation(x).detach() - before).abs().max() > 0.01


def test_the_adversaries_have_their_own_momentum(shrunk):
    classifier, adversaries = shrunk.groups()
    assert adversaries["betas"] == (0.5, 0.999)
    assert len(classifier["params"]) + len(adversaries["params"]) == len(list(shrunk.parameters()))


def test_first_values_may_be_random_where_that_is_allowed(shrunk):
    store = Store(allow_random=True)
    shrunk.equip(store, fresh=False)
    assert store.random == []
    shrunk.equip(store, fresh=True)
    assert store.random == ["resnet50-imagenet"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"width": 12}, "multiple of 8, not 12"),
        ({"strength": 0.0}, "above 0 and at most 1, not 0.0"),
        ({"penalty": -1.0}, "0 or more, not -1.0"),
        ({"originals": "fakes"}, "photographs, all, not 'fakes'"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, told):
    with pytest.raises(ConfigError, match=told):
        FrePGAN(**options)
