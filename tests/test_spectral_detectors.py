"""Frank, Durall and BiHPF: what each adds to the contract that all detectors keep."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from tiny import CARD, EXAMPLES

from pixelkin.errors import ConfigError, DataError, NotFittedError, WeightsError
from pixelkin.images import from_pixels, read
from pixelkin.lab.backbones import ResNet50
from pixelkin.lab.detectors.bihpf import BiHPF
from pixelkin.lab.detectors.durall import Durall
from pixelkin.lab.detectors.frank import Frank
from pixelkin.lab.export import check_parity, to_onnx
from pixelkin.lab.external import Store
from pixelkin.lab.weights import load_strictly

SMALL = replace(CARD, tile=32)


def noise(height, width, seed=0):
    return from_pixels(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def flat(height, width, value):
    return from_pixels(np.full((height, width, 3), value, np.uint8))


def count(detector):
    return sum(p.numel() for p in detector.parameters())


def batches(detector, sizes=(3, 1, 5), side=32):
    """Prepared noise, and the same doubled, which is labelled generated."""
    seed = 0
    for size in sizes:
        pictures, labels = [], []
        for _ in range(size):
            pixels = noise(side, side, seed).pixels
            label = seed % 2
            if label:
                pixels = pixels[::2, ::2].repeat(2, 0).repeat(2, 1)
            pictures.append(detector.prepare(from_pixels(pixels)))
            labels.append(label)
            seed += 1
        yield torch.stack(pictures), torch.tensor(labels)


@pytest.mark.parametrize(
    ("detector", "parameters"),
    [
        (Frank, 49_153),
        (lambda: Frank(size=224), 150_529),
        (lambda: Frank(classifier="cnn"), 38_885),
        (lambda: Frank(classifier="cnn", size=256), 137_189),
        (lambda: Frank(classifier="mlp", size=32), 3 * 32 * 32 * 128 + 128 + 129),
        (lambda: Frank(classifier="resnet50", size=32), 23_510_081),
        (lambda: Frank(grey=True), 128 * 128 + 1),
        (Durall, 180),
        (lambda: Durall(length=88), 89),
        (BiHPF, 23_510_081),
    ],
)
def test_systems_have_the_papers_sizes(detector, parameters):
    assert count(detector()) == parameters


@pytest.mark.parametrize("system", [Frank, Durall, BiHPF])
def test_the_card_counts_right(system):
    assert system.card.parameters == count(system())


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Frank(classifier="forest"), "classifier is one of ridge, mlp, cnn, resnet50, not 'forest'"),
        (lambda: Frank(scaling="ln"), "scaling is one of log, abs, not 'ln'"),
        (lambda: Frank(size=3), "size is 4 pixels or more, not 3"),
        (lambda: Frank(penalty=-1.0), "penalty is 0 or more, not -1.0"),
        (lambda: Durall(length=0), "length is 1 or more, not 0"),
        (lambda: Durall(classifier="rbf"), "classifier is one of logistic, svm, not 'rbf'"),
        (lambda: Durall(cost=0.0), "cost is above 0, not 0.0"),
        (lambda: BiHPF(output="phase"), "output is one of spectrum, image, not 'phase'"),
        (lambda: BiHPF(pixel_width=0.0), "pixel_width is above 0, not 0.0"),
        (lambda: BiHPF(frequency_gain=-0.5), "frequency_gain is 0 or more, not -0.5"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_right(make, told):
    with pytest.raises(ConfigError, match=told):
        make()


# Frank ---------------------------------------------------------------------------------------------


def test_frank_sees_log_magnitudes_of_each_channel_on_a_scale_of_0_to_255():
    picture = noise(32, 32)
    expected = np.log(np.abs(dctn(picture.pixels.astype(float), axes=(0, 1), norm="ortho")) + 1e-12)
    found = Frank(size=32).prepare(picture)
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), rtol=1e-6, atol=1e-6)
    unscaled = Frank(size=32, scaling="abs").prepare(picture)
    np.testing.assert_allclose(unscaled, np.exp(expected).transpose(2, 0, 1), rtol=1e-5, atol=1e-5)


def test_frank_brings_any_picture_to_its_size_by_the_shorter_side():
    tall = read(EXAMPLES / "photo-coffee.png").pixels[:200, :64]
    detector = Frank(size=64)
    torch.testing.assert_close(
        detector.prepare(from_pixels(tall)), detector.prepare(from_pixels(tall[68:132])), rtol=0, atol=0
    )
    assert detector.prepare(noise(70, 300)).shape == (3, 64, 64)
    assert Frank(size=64, grey=True).prepare(noise(70, 300)).shape == (1, 64, 64)


def test_frank_s_statistics_are_those_of_all_images_whatever_the_batches():
    detector = Frank(size=32)
    detector.fit(batches(detector))
    everything = torch.cat([batch for batch, _ in batches(detector)]).double()
    expected = everything.std(0, unbiased=False).float()
    torch.testing.assert_close(detector.mean, everything.mean(0).float(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(detector.deviation, expected, rtol=1e-6, atol=1e-6)
    assert int(detector.seen) == 9


def test_frank_s_statistics_lose_nothing_to_a_great_mean():
    detector = Frank(size=4)
    values = 1e6 + torch.randn(400, 3, 4, 4, dtype=torch.float64)
    detector.fit((part, torch.zeros(len(part))) for part in values.split(7))
    expected = values.std(0, unbiased=False).float()
    torch.testing.assert_close(detector.deviation, expected, rtol=1e-6, atol=0)


def test_frank_does_not_divide_where_nothing_varied():
    detector = Frank(size=4)
    detector.fit([(torch.full((3, 3, 4, 4), 2.5), torch.zeros(3))])
    assert torch.equal(detector.deviation, torch.ones(3, 4, 4))
    assert torch.isfinite(detector(torch.rand(2, 3, 4, 4))).all()


def test_frank_trains_on_nothing_before_it_is_fitted_and_scores_all_the_same():
    detector = Frank(size=32)
    batch, labels = next(batches(detector))
    with pytest.raises(NotFittedError, match="call fit"):
        detector.loss(batch, labels)
    assert torch.isfinite(detector.eval().loss(batch, labels))
    assert detector(batch).shape == (3,)
    with pytest.raises(DataError, match="no training image"):
        detector.fit([])


def test_frank_s_ridge_pays_for_its_squared_weights_and_not_for_its_bias():
    detector, free = Frank(size=32, penalty=0.5).eval(), Frank(size=32, penalty=0.0).eval()
    free.load_state_dict(detector.state_dict())
    batch, labels = next(batches(detector))
    squares = sum(w**2 for w in detector.classifier[1].weight.flatten().tolist())
    difference = (detector.loss(batch, labels) - free.loss(batch, labels)).item()
    assert difference == pytest.approx(0.5 * squares, rel=1e-3)


@pytest.mark.parametrize("classifier", ["ridge", "mlp", "cnn"])
def test_frank_learns_to_tell_doubled_pixels(classifier):
    torch.manual_seed(0)
    detector = Frank(size=32, classifier=classifier).train()
    detector.fit(batches(detector, [16, 16]))
    known = list(batches(detector, [16, 16]))
    optimiser = torch.optim.Adam(detector.parameters(), 1e-3)
    for _ in range(30):
        for batch, labels in known:
            optimiser.zero_grad()
            detector.loss(batch, labels).backward()
            optimiser.step()
    detector.eval()
    right = torch.cat([(detector(batch) > 0) == (labels > 0) for batch, labels in known])
    assert right.all()


@pytest.mark.parametrize("options", [{}, {"classifier": "cnn"}, {"grey": True, "scaling": "abs"}])
def test_frank_s_exported_model_answers_as_the_network(options):
    torch.manual_seed(0)
    detector = Frank(size=32, **options)
    detector.fit(batches(detector))
    photograph = read(EXAMPLES / "photo-rocket.jpg").pixels
    assert check_parity(to_onnx(detector.eval(), SMALL), detector, [photograph[:32, :32]]) < 1e-3


def published(folder, size=32, wrapped=True):
    """Files as the PyTorch port has them; returns the network, the checkpoint, mean and variance."""
    torch.manual_seed(1)
    network = ResNet50(3, 1).eval()
    folder.mkdir(exist_ok=True)
    weights = network.state_dict()
    torch.save({"netC": weights} if wrapped else weights, folder / "DCTAnalysis.pth")
    mean = torch.randn(3, size, size, dtype=torch.float64)
    variance = torch.rand(3, size, size, dtype=torch.float64) + 0.2
    torch.save(mean, folder / "dct_mean")
    torch.save(variance, folder / "dct_var")
    return network, folder / "DCTAnalysis.pth", mean, variance


@pytest.mark.parametrize("wrapped", [True, False])
def test_frank_loads_the_published_port(tmp_path, wrapped):
    network, path, mean, variance = published(tmp_path, wrapped=wrapped)
    detector = Frank(size=32, classifier="resnet50")
    detector.load_checkpoint(path)
    batch = torch.randn(2, 3, 32, 32)
    expected = network(((batch.double() - mean) / variance.sqrt()).float()).squeeze(-1)
    torch.testing.assert_close(detector.eval()(batch), expected, rtol=1e-4, atol=1e-5)
    assert int(detector.seen) == -1
    detector.train().loss(batch, torch.tensor([0, 1]))


def test_frank_says_what_is_wrong_with_a_published_checkpoint(tmp_path):
    _, path, *_ = published(tmp_path)
    with pytest.raises(WeightsError, match="classifier = 'resnet50', size = 224"):
        Frank(size=32).load_checkpoint(path)
    with pytest.raises(
        WeightsError, match=r"3 x 32 x 32 .* made for 3 x 48 x 48: construct it with size = 32"
    ):
        Frank(size=48, classifier="resnet50").load_checkpoint(path)
    (tmp_path / "dct_var").write_bytes(b"no tensor")
    with pytest.raises(WeightsError, match="dct_var: not a checkpoint of plain tensors"):
        Frank(size=32, classifier="resnet50").load_checkpoint(path)
    torch.save({"variance": torch.ones(1)}, tmp_path / "dct_var")
    with pytest.raises(WeightsError, match="dct_var: not a tensor of shape"):
        Frank(size=32, classifier="resnet50").load_checkpoint(path)
    (tmp_path / "dct_var").unlink()
    with pytest.raises(WeightsError, match="dct_var is missing"):
        Frank(size=32, classifier="resnet50").load_checkpoint(path)


def test_statistics_of_another_size_are_refused_with_both_sizes():
    with pytest.raises(WeightsError, match=r"\(3, 48, 48\), not \(3, 32, 32\)"):
        load_strictly(Frank(size=32), Frank(size=48).state_dict(), "w.safetensors")


# Durall --------------------------------------------------------------------------------------------


def profile_by_the_definition(grey):
    """Section by section: spectrum, decibels by the natural logarithm, rings, first value."""
    height, width = grey.shape
    spectrum = 20 * np.log(np.abs(np.fft.fftshift(np.fft.fft2(grey)) + 1e-8))
    rings = {}
    for i in range(height):
        for j in range(width):
            distance = math.sqrt((i - (height - 1) / 2) ** 2 + (j - (width - 1) / 2) ** 2)
            rings.setdefault(int(distance), []).append(spectrum[i, j])
    means = [float(np.mean(rings[place])) for place in sorted(rings)[1:-1]]
    return [mean / means[0] for mean in means]


@pytest.mark.parametrize("size", [(32, 32), (31, 31), (24, 40)])
def test_durall_s_features_are_the_profile_over_its_first_value(size):
    grey = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
    expected = profile_by_the_definition(grey.astype(float))
    found = Durall(length=len(expected)).prepare(from_pixels(np.dstack([grey] * 3)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("value", [0, 1, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (5, 4), (64, 64), (63, 65)])
def test_durall_has_finite_features_of_flat_and_of_tiny_pictures(size, value):
    features = Durall(length=20).prepare(flat(*size, value))
    assert features.shape == (20,)
    assert torch.isfinite(features).all()


@pytest.mark.parametrize("classifier", ["logistic", "svm"])
def test_durall_s_logits_are_scikit_learn_s_decision_function(classifier):
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    detector = Durall(length=20, classifier=classifier, cost=10.0)
    known = list(batches(detector, [8, 1, 11]))
    detector.fit(known)
    profiles, labels = (torch.cat([pair[place] for pair in known]).numpy() for place in (0, 1))
    model = {
        "logistic": LogisticRegression(solver="liblinear", C=10.0, max_iter=1000),
        "svm": SVC(kernel="linear", C=10.0),
    }[classifier].fit(profiles.astype(float), labels)
    found = detector(torch.from_numpy(profiles)).detach().numpy()
    np.testing.assert_allclose(found, model.decision_function(profiles), rtol=1e-4, atol=1e-5)
    assert ((found > 0) == labels).all()
    assert detector.groups() == []


def test_durall_is_fitted_to_both_labels_or_not_at_all():
    detector = Durall(length=20)
    with pytest.raises(DataError, match="not both"):
        detector.fit([(torch.rand(4, 20), torch.ones(4, dtype=torch.int64))])
    with pytest.raises(DataError, match="not both"):
        detector.fit([])


# BiHPF ---------------------------------------------------------------------------------------------


def filtered_by_the_definition(pixels, widths, gains):
    """Both filters by loops, the transform by NumPy: picture, then spectrum."""
    height, width = pixels.shape
    middle = (height - 1) / 2, (width - 1) / 2
    x = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            r = math.dist((i, j), middle) / math.dist((0, 0), middle)
            x[i, j] = pixels[i, j] / 255 * (1 + gains[0] * (1 - math.exp(-(r**2) / (2 * widths[0] ** 2))))
    spectrum = np.fft.fft2(x)
    for i in range(height):
        for j in range(width):
            u, v = (k / n if k <= n / 2 else k / n - 1 for k, n in ((i, height), (j, width)))
            r = math.hypot(u, v) / math.sqrt(0.5)
            spectrum[i, j] *= 1 + gains[1] * (1 - math.exp(-(r**2) / (2 * widths[1] ** 2)))
    return spectrum


@pytest.mark.parametrize("size", [(32, 32), (17, 24)])
def test_bihpf_classifies_what_its_reconstruction_says(size):
    picture = noise(*size)
    options = {"pixel_width": 0.3, "frequency_width": 0.6, "pixel_gain": 2.0, "frequency_gain": 1.5}
    spectrum = filtered_by_the_definition(picture.pixels[..., 1], (0.3, 0.6), (2.0, 1.5))
    outputs = {
        "spectrum": np.log(np.abs(np.fft.fftshift(spectrum)) + 1e-8),
        "image": np.fft.ifft2(spectrum).real,
    }
    for output, values in outputs.items():
        expected = (values - values.mean()) / values.std()
        found = BiHPF(output=output, **options).prepare(picture)[1]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_bihpf_without_gains_sees_the_picture_itself():
    picture = noise(20, 30)
    values = torch.tensor(picture.pixels).permute(2, 0, 1).double()
    expected = (values - values.mean((1, 2), True)) / values.std((1, 2), unbiased=False, keepdim=True)
    found = BiHPF(output="image", pixel_gain=0.0, frequency_gain=0.0).prepare(picture)
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-5)


def test_bihpf_takes_black_pictures_and_says_that_it_is_a_reconstruction():
    assert BiHPF().prepare(flat(40, 40, 0)).abs().max() == 0
    assert BiHPF.card.label == "BiHPF (reconstruction)"


def test_bihpf_s_exported_model_answers_as_the_network_at_any_size():
    torch.manual_seed(0)
    detector = BiHPF(output="image").eval()
    photograph = read(EXAMPLES / "photo-rocket.jpg").pixels
    sizes = [(96, 96), (65, 101)]
    assert check_parity(to_onnx(detector, SMALL), detector, [photograph[:h, :w] for h, w in sizes]) < 1e-3


def test_bihpf_begins_with_imagenet_s_trunk_and_a_head_of_its_own():
    torch.manual_seed(2)
    trunk = {n: v for n, v in ResNet50(3, 1000).state_dict().items() if "num_batches" not in n}

    class Shelf(Store):
        def tensors(self, name):
            return {"resnet50-imagenet": trunk}[name]

    detector = BiHPF()
    head = detector.network.fc.weight.clone()
    detector.equip(Shelf(), fresh=False)
    assert not torch.equal(detector.network.conv1.weight, trunk["conv1.weight"])
    detector.equip(Shelf(), fresh=True)
    assert torch.equal(detector.network.conv1.weight, trunk["conv1.weight"])
    assert torch.equal(detector.network.fc.weight, head)
