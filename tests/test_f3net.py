"""F3-Net: its bands and windows by the formulas, its counts, its two sources of weights, its graph."""

import math

import numpy as np
import pytest
import torch
from tiny import EXAMPLES

from pixelkin.errors import ConfigError, MissingWeightsError, WeightsError
from pixelkin.images import from_pixels, read
from pixelkin.lab.backbones import Xception
from pixelkin.lab.detectors.f3net import TRUNK, F3Net, widened
from pixelkin.lab.export import check_parity, to_onnx
from pixelkin.lab.external import Store
from pixelkin.lab.representations.bands import (
    BandDecomposition,
    LocalStatistics,
    MixBlock,
    band_statistics,
    decomposed,
    decomposition_masks,
    learned_filters,
    statistics_masks,
    windowed_dct,
)
from pixelkin.lab.representations.spectra import dct_matrix
from pixelkin.types import Card

TABLE = {"fad": 21_171_246, "lfs": 20_812_514, "both": 41_983_759}  # of section 6 of baselines.md
UNUSED_HEAD = 2_049
MIX = {728: 2_128_674, 1024: 4_206_594}
SIZE = 64


def settled(detector):
    """Batch norms set by one batch, as training leaves them: without, an untrained trunk's maps explode."""
    for part in detector.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        detector.train()(torch.rand(8, 3, detector.side, detector.side) * 2 - 1)
    return detector.eval()


def numbers(module):
    return sum(parameter.numel() for parameter in module.parameters())


def described(build):
    """A network with shapes but no numbers, which costs nothing to build."""
    with torch.device("meta"):
        return build()


def photograph(size=SIZE):
    return read(EXAMPLES / "photo-rocket.jpg").pixels[:size, :size]


def cosine(k, j, n):
    return math.sqrt((1 if k == 0 else 2) / n) * math.cos(math.pi * k * (2 * j + 1) / (2 * n))


def transform(x):
    """The cosine transform of a square, coefficient by coefficient."""
    n = len(x)
    return [
        [
            sum(x[a][b] * cosine(i, a, n) * cosine(j, b, n) for a in range(n) for b in range(n))
            for j in range(n)
        ]
        for i in range(n)
    ]


def inverse(c):
    """The square whose cosine transform ``c`` is, pixel by pixel."""
    n = len(c)
    return [
        [
            sum(c[i][j] * cosine(i, a, n) * cosine(j, b, n) for i in range(n) for j in range(n))
            for b in range(n)
        ]
        for a in range(n)
    ]


def test_the_areas_of_the_four_bands_are_those_of_the_public_program():
    shares = decomposition_masks(299).mean((1, 2)) * 100
    torch.testing.assert_close(shares, torch.tensor([6.5, 6.3, 87.5, 100.0]), rtol=0, atol=0.05)


@pytest.mark.parametrize(("size", "low", "middle"), [(299, 106, 149), (128, 45, 64), (96, 34, 48)])
def test_bands_end_at_the_bounds_and_share_the_diagonal_between_them(size, low, middle):
    bounds = [(0, low), (low, middle), (middle, 2 * size), (0, 2 * size)]
    row = torch.arange(size)
    for mask, (start, end) in zip(decomposition_masks(size), bounds, strict=True):
        for i in (0, 1, size // 3, size // 2, size - 1):
            torch.testing.assert_close(mask[i], ((i + row >= start) & (i + row <= end)).float())


def test_the_six_bands_of_a_window_hold_the_cells_that_the_public_program_counts():
    assert statistics_masks().sum((1, 2)).tolist() == [10, 18, 36, 30, 12, 3]


def test_a_filter_is_its_base_and_a_share_between_minus_one_and_one():
    weight = torch.tensor([-50.0, 0.0, 0.7, 50.0])
    expected = torch.tensor([0.0, 1.0, 1 + (1 - math.exp(-0.7)) / (1 + math.exp(-0.7)), 2.0])
    torch.testing.assert_close(learned_filters(torch.ones(4), weight), expected)


def test_a_decomposition_is_that_of_the_formula():
    x, filters = torch.rand(1, 2, 5, 5), torch.rand(3, 5, 5)
    expected = []
    for f in filters:  # all channels of a band, then the next band
        for channel in x[0]:
            c = transform(channel.tolist())
            passed = [[c[i][j] * float(f[i, j]) for j in range(5)] for i in range(5)]
            expected.append(torch.tensor(inverse(passed)))
    torch.testing.assert_close(decomposed(x, filters)[0], torch.stack(expected), rtol=1e-5, atol=1e-5)


def test_the_bands_of_a_picture_without_learned_parts():
    view = BandDecomposition(48)
    torch.nn.init.zeros_(view.weight)
    x = torch.rand(2, 3, 48, 48) * 2 - 1
    bands = view(x)
    assert bands.shape == (2, 12, 48, 48)
    torch.testing.assert_close(bands[:, 9:], x, rtol=0, atol=1e-5)
    flat = view(torch.full((1, 3, 48, 48), 0.3))
    torch.testing.assert_close(flat[:, :3], torch.full((1, 3, 48, 48), 0.3), rtol=0, atol=1e-5)
    assert flat[:, 3:9].abs().max() < 1e-5


@pytest.mark.parametrize("log", ["before", "after"])
def test_local_statistics_are_those_of_the_formula(log):
    view = LocalStatistics(log)
    height, width = 12, 15
    x = torch.rand(1, 3, height, width) * 2 - 1
    found = view(x).detach()
    filters = (statistics_masks() + 2 * torch.sigmoid(view.weight.detach()) - 1).tolist()
    grey = [
        [(sum(w * float(x[0, c, i, j]) for c, w in enumerate((0.299, 0.587, 0.114))) + 1) * 122.5
         for j in range(width)]
        for i in range(height)
    ]  # fmt: skip
    assert found.shape == (1, 6, (height + 8 - 10) // 2 + 1, (width + 8 - 10) // 2 + 1)
    for row, column in [(0, 0), (2, 3), (found.shape[2] - 1, found.shape[3] - 1), (1, 6)]:
        places = [[(2 * row - 4 + a, 2 * column - 4 + b) for b in range(10)] for a in range(10)]
        window = [
            [grey[i][j] if 0 <= i < height and 0 <= j < width else 0.0 for i, j in line] for line in places
        ]
        c = transform(window)
        for band, (f, count) in enumerate(zip(filters, (10, 18, 36, 30, 12, 3), strict=True)):
            cells = [(abs(c[i][j]), f[i][j]) for i in range(10) for j in range(10)]
            before = sum(part * math.log10(size + 1e-15) for size, part in cells) / count
            after = math.log10(sum(abs(size * part) for size, part in cells) / count + 1e-15)
            expected = before if log == "before" else after
            assert float(found[0, band, row, column]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_picture_of_the_paper_s_size_has_statistics_at_149_places_a_side():
    assert LocalStatistics()(torch.zeros(1, 3, 299, 299)).shape == (1, 6, 149, 149)


def test_a_flat_window_has_no_energy_but_its_mean_s():
    coefficients = windowed_dct(torch.full((1, 30, 30), 37.7, dtype=torch.float64))[:, 5:6, 5:6]
    statistics = band_statistics(coefficients, statistics_masks(), statistics_masks().sum((1, 2)))
    expected = torch.full((6,), -15.0)
    expected[0] = (math.log10(377) - 15 * 9) / 10
    torch.testing.assert_close(statistics[0, :, 0, 0], expected)


def test_a_mix_block_is_attention_of_each_map_s_rows_on_the_other_map():
    torch.manual_seed(1)
    mix = MixBlock(3).eval()
    torch.nn.init.constant_(mix.gates, 0.4)
    maps = [torch.randn(2, 3, 4, 5) for _ in range(2)]
    mixed = mix(*maps)
    gate = 2 / (1 + math.exp(-0.4)) - 1
    for channel in range(3):
        q = [conv(x)[1, channel] for conv, x in zip(mix.queries, maps, strict=True)]
        k = [conv(x)[1, channel] for conv, x in zip(mix.keys, maps, strict=True)]
        energy = torch.stack(
            [torch.stack([sum((a[i] * b[j]).sum() for a, b in zip(q, k, strict=True)) for j in range(4)])
             for i in range(4)]
        )  # fmt: skip
        attention = energy.exp() / energy.exp().sum(1, keepdim=True)
        for own, other in ((0, 1), (1, 0)):
            scale = mix.scales[own]
            taken = (attention @ maps[other][1, channel]) * scale.weight[channel] + scale.bias[channel]
            expected = maps[own][1, channel] + gate * taken / math.sqrt(1 + 1e-5)
            torch.testing.assert_close(mixed[own][1, channel], expected[0])


def test_a_new_mix_block_changes_nothing():
    maps = [torch.randn(2, 8, 4, 4) for _ in range(2)]
    for mixed, own in zip(MixBlock(8)(*maps), maps, strict=True):
        torch.testing.assert_close(mixed, own, rtol=0, atol=0)


@pytest.mark.parametrize("mode", ["fad", "lfs", "both"])
def test_the_counts_are_the_table_s_less_the_heads_that_nothing_uses(mode):
    detector = described(lambda: F3Net(mode))
    assert numbers(detector) + UNUSED_HEAD * len(detector.branches) == TABLE[mode]


def test_the_count_of_the_card_is_that_of_the_default_and_mixing_adds_the_blocks():
    assert numbers(described(F3Net)) == F3Net.card.parameters
    mixing = described(lambda: F3Net("mix"))
    assert [numbers(mix) for mix in mixing.mixers] == list(MIX.values())
    assert numbers(mixing) == F3Net.card.parameters + sum(MIX.values())


@pytest.fixture(scope="module", params=["lfs", "both", "mix"])
def detector(request):
    torch.manual_seed(0)
    return settled(F3Net(request.param, size=SIZE))


def test_any_size_becomes_a_square_of_the_detector_s_side(detector):
    for height, width in [(224, 224), (97, 131), (33, 300)]:
        picture = from_pixels(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
        prepared = detector.prepare(picture)
        assert prepared.shape == (3, SIZE, SIZE)
        assert -1 <= prepared.min() <= prepared.max() <= 1
    assert 0 <= detector.score([picture])[0] <= 1


def test_a_picture_of_the_detector_s_side_is_left_as_it_is(detector):
    pixels = photograph()
    restored = (detector.prepare(from_pixels(pixels)) * 127.5 + 127.5).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(restored, pixels, atol=1e-4)


def test_a_batch_scores_as_its_members_do_alone_and_as_its_tiles(detector):
    prepared = detector.prepare(from_pixels(photograph()))
    batch = torch.stack([prepared, prepared.flip(-1), prepared.flip(-2)])
    together = detector(batch)
    torch.testing.assert_close(together, torch.cat([detector(x[None]) for x in batch]), rtol=1e-4, atol=1e-5)
    tiles = torch.from_numpy(photograph()).permute(2, 0, 1)[None]
    torch.testing.assert_close(detector.from_pixels(tiles), together[:1], rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient(detector):
    batch = torch.rand(2, 3, SIZE, SIZE) * 2 - 1
    detector.loss(batch, torch.tensor([0, 1])).backward()
    assert [name for name, parameter in detector.named_parameters() if parameter.grad is None] == []
    detector.zero_grad()


@pytest.mark.slow
def test_the_exported_model_answers_as_the_network_does(detector):
    card = Card(
        name="f3net", version="0", system="-", paper="-", weights_sha256="-", trained_on="-", licence="-",
        tile=SIZE,
    )  # fmt: skip
    pixels = photograph(2 * SIZE)
    tiles = [pixels[:SIZE, :SIZE], pixels[SIZE:, SIZE:], np.zeros_like(pixels[:SIZE, :SIZE])]
    assert check_parity(to_onnx(detector, card), detector, tiles) < 1e-3


def published(mode, size):
    """A state dict with the names and shapes that the public re-implementation saves."""
    found = {}

    def head(name, matrix, masks):
        transform = dct_matrix(masks.shape[-1])
        found[f"{name}_head.{matrix}"], found[f"{name}_head.{matrix}_T"] = transform, transform.T.clone()
        for place, base in enumerate(masks):
            found[f"{name}_head.filters.{place}.base"] = base.clone()
            found[f"{name}_head.filters.{place}.learnable"] = torch.randn_like(base) * 0.1
            if name == "LFS":
                found[f"LFS_head.filters.{place}.ft_num"] = base.sum()

    views = [
        ("FAD", "_DCT_all", decomposition_masks(size), 12, 2),
        ("LFS", "_DCT_patch", statistics_masks(), 6, 1),
    ]
    for name, matrix, masks, channels, stride in views:
        if mode in (name.lower(), "both"):
            head(name, matrix, masks)
            trunk = Xception(channels, 1, stem_stride=stride).state_dict()
            found |= {f"{name}_xcep.{key}": value for key, value in trunk.items()}
    found["fc.weight"], found["fc.bias"] = torch.randn(1, 4096 if mode == "both" else 2048), torch.randn(1)
    return found


def save(tensors, path):
    torch.save({f"module.{name}": tensor for name, tensor in tensors.items()}, path)
    return path


@pytest.mark.parametrize("mode", ["fad", "both"])
def test_a_public_checkpoint_loads_number_by_number(mode, tmp_path):
    torch.manual_seed(0)
    tensors = published(mode, SIZE)
    detector = F3Net(mode, size=SIZE)
    detector.load_checkpoint(save(tensors, tmp_path / "f3net.pth"))
    ours = detector.state_dict()
    for place in range(4):
        own = ours["branches.fad.view.weight"][place]
        torch.testing.assert_close(own, tensors[f"FAD_head.filters.{place}.learnable"], rtol=0, atol=0)
    block = "block5.rep.1.conv1.weight"
    torch.testing.assert_close(
        ours[f"branches.fad.trunk.{block}"], tensors[f"FAD_xcep.{block}"], rtol=0, atol=0
    )
    torch.testing.assert_close(ours["fc.weight"], tensors["fc.weight"], rtol=0, atol=0)
    if mode == "both":
        own = ours["branches.lfs.view.weight"][5]
        torch.testing.assert_close(own, tensors["LFS_head.filters.5.learnable"], rtol=0, atol=0)


def test_a_checkpoint_of_another_size_mode_or_mask_is_refused(tmp_path):
    tensors = published("fad", 48)
    with pytest.raises(WeightsError, match=r"FAD_head\._DCT_all is for 48 x 48 pixels .* 64 x 64 here"):
        F3Net("fad", size=SIZE).load_checkpoint(save(tensors, tmp_path / "small.pth"))
    tensors["FAD_head.filters.0.base"][0, 0] = 0  # as the program had it before its correction
    with pytest.raises(WeightsError, match=r"filters\.0\.base of the checkpoint differs .* by up to 1"):
        F3Net("fad", size=48).load_checkpoint(save(tensors, tmp_path / "no-mean.pth"))
    with pytest.raises(WeightsError, match="not weights of F3Net"):
        F3Net("lfs", size=48).load_checkpoint(save(published("fad", 48), tmp_path / "fad.pth"))


class Shelf(Store):
    """A store with one set of tensors on it."""

    def __init__(self, tensors):
        super().__init__()
        self.given = tensors

    def tensors(self, name):
        assert name == TRUNK
        return dict(self.given)


def test_first_values_are_imagenet_s_with_kernels_shared_out():
    torch.manual_seed(0)
    imagenet = Xception(3, 1000).state_dict()
    flat = {k: v[..., 0, 0] if "pointwise" in k else v for k, v in imagenet.items()}
    detector = F3Net("both", size=SIZE)
    detector.equip(Shelf(flat), fresh=True)
    ours = detector.state_dict()
    for name, times in (("fad", 4), ("lfs", 2)):
        kernel = ours[f"branches.{name}.trunk.conv1.weight"]
        for start in range(0, 3 * times, 3):
            torch.testing.assert_close(kernel[:, start : start + 3], imagenet["conv1.weight"] / times)
        for key in ("block2.rep.1.pointwise.weight", "bn4.running_mean", "block12.skip.weight"):
            torch.testing.assert_close(ours[f"branches.{name}.trunk.{key}"], imagenet[key], rtol=0, atol=0)


def test_a_widened_convolution_gives_for_repeated_pictures_what_it_gave():
    kernel = torch.randn(4, 3, 3, 3)
    x = torch.rand(1, 3, 7, 7)
    wide = widened({"conv1.weight": kernel}, 12)["conv1.weight"]
    once = torch.nn.functional.conv2d(x, kernel)
    torch.testing.assert_close(torch.nn.functional.conv2d(x.repeat(1, 4, 1, 1), wide), once)


def test_training_afresh_needs_imagenet_s_weights_and_going_on_does_not():
    detector = described(lambda: F3Net("fad", size=SIZE))
    with pytest.raises(MissingWeightsError, match=r"xception-b5690688\.pth"):
        detector.equip(Store(), fresh=True)
    detector.equip(Store(), fresh=False)
    store = Store(allow_random=True)
    detector.equip(store, fresh=True)
    assert store.random == [TRUNK]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mode": "rgb"}, "no mode 'rgb'; there are: fad, lfs, both, mix"),
        ({"lfs_log": "never"}, "no lfs_log 'never'; there are: before, after"),
        ({"size": 16}, "32 or more, not of 16"),
        ({"mode": "mix", "size": 72}, "cannot mix at size 72.*take 64 or 80"),
    ],
)
def test_an_option_without_such_a_value_is_refused(options, told):
    with pytest.raises(ConfigError, match=told):
        F3Net(**options)
