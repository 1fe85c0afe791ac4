"""Simulated up-samplers: what each operator does, how they are drawn, trained and named."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import squares
from torch import nn
from torch.nn import functional as F

from pixelkin.errors import ConfigError, DataError
from pixelkin.lab import upsampling
from pixelkin.lab.representations import neighbour_relation
from pixelkin.lab.upsampling import (
    CROP,
    OPERATORS,
    VARIANTS,
    Plan,
    UpSampler,
    doubled,
    draw_plan,
    painted,
    simulators,
    trained,
)

PLAN = Plan(operator="nearest", stages=1, latent=8, width=6, kernel=3, smooth=False, steps=0)
KERNELS = {"nearest": (3, 5), "bilinear": (3, 5), "transposed": (2, 4), "shuffle": (3, 5)}
CELLS = [(operator, kernel) for operator, kernels in KERNELS.items() for kernel in kernels]


@pytest.fixture(scope="module")
def photographs():
    """Four squares of photographs, uint8 (4, 3, CROP, CROP)."""
    found = np.stack([np.array(Image.fromarray(square).resize((CROP, CROP))) for square in squares(4)])
    return torch.from_numpy(found.transpose(0, 3, 1, 2).copy())


def pass_through(conv):
    """Make a convolution leave its input as it is."""
    with torch.no_grad():
        nn.init.dirac_(conv.weight)
        conv.bias.zero_()


@pytest.mark.parametrize(("operator", "kernel"), CELLS)
def test_each_operator_doubles_the_side(operator, kernel):
    layers = doubled(replace(PLAN, operator=operator, kernel=kernel))
    assert layers(torch.rand(2, 6, 5, 7)).shape == (2, 6, 10, 14)


def test_nearest_repeats_every_place_of_a_map():
    layers = doubled(PLAN)
    pass_through(layers[1])
    x = torch.rand(1, 6, 4, 5)
    assert torch.equal(layers(x), x.repeat_interleave(2, -2).repeat_interleave(2, -1))


def test_bilinear_lies_a_quarter_of_the_way_to_the_next_place():
    layers = doubled(replace(PLAN, operator="bilinear"))
    pass_through(layers[1])
    ramp = torch.arange(5.0).expand(1, 6, 4, 5)
    expected = torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4])
    torch.testing.assert_close(layers(ramp), expected.expand(1, 6, 8, 10))


def test_shuffle_lays_four_channels_out_as_a_cell():
    layers = doubled(replace(PLAN, operator="shuffle"))
    maps = F.conv2d(x := torch.rand(1, 6, 3, 4), layers[0].weight, layers[0].bias, padding=1)
    found = layers(x)
    for channel in range(6):
        for row in range(6):
            for column in range(8):
                of_cell = 4 * channel + 2 * (row % 2) + column % 2
                assert found[0, channel, row, column] == maps[0, of_cell, row // 2, column // 2]


@pytest.mark.parametrize("kernel", KERNELS["transposed"])
def test_a_transposed_convolution_stamps_its_kernel_at_every_second_place(kernel):
    layer = doubled(replace(PLAN, operator="transposed", kernel=kernel, width=2))
    x, pad = torch.rand(2, 3, 4), kernel // 2 - 1
    stamped = torch.zeros(2, 6 + 2 * pad, 8 + 2 * pad)
    for channel in range(2):
        for row in range(3):
            for column in range(4):
                place = (slice(2 * row, 2 * row + kernel), slice(2 * column, 2 * column + kernel))
                stamped[:, *place] += x[channel, row, column] * layer.weight[channel]
    expected = stamped[:, pad : pad + 6, pad : pad + 8] + layer.bias.view(2, 1, 1)
    torch.testing.assert_close(layer(x[None])[0], expected)


def test_the_neighbour_relation_vanishes_where_nothing_follows_nearest_up_sampling(photographs):
    def relation(operator):
        network = trained(replace(PLAN, operator=operator), photographs, seed=5)
        pass_through(network.decoder[2][1])
        pass_through(network.decoder[-1])
        made = painted(network, photographs[0].permute(1, 2, 0).numpy())
        return neighbour_relation(torch.from_numpy(made).permute(2, 0, 1).float()).abs().mean()

    assert relation("nearest") == 0
    assert relation("bilinear") > 0.2
    assert neighbour_relation(photographs[0].float()).abs().mean() > 1


@pytest.mark.parametrize("operator", OPERATORS)
def test_whatever_plan_is_drawn_a_picture_keeps_its_size(operator):
    plans = [draw_plan(operator, np.random.default_rng(seed)) for seed in range(12)]
    assert {plan.stages for plan in plans} == {1, 2, 3}
    assert {plan.kernel for plan in plans} == set(KERNELS[operator])
    assert {plan.smooth for plan in plans} == {False, True}
    for plan in plans:
        assert plan.operator == operator
        network = UpSampler(plan)
        assert network(torch.rand(1, 3, 8, 24)).shape == (1, 3, 8, 24)
        kinds = {type(layer) for layer in network.modules()}
        assert (nn.SiLU in kinds, nn.ReLU in kinds) == (plan.smooth, not plan.smooth)
    assert draw_plan(operator, np.random.default_rng(5)) == plans[5]


def test_training_brings_an_up_sampler_nearer_to_its_photographs(photographs):
    for operator in OPERATORS:
        plan = replace(PLAN, operator=operator, width=16, kernel=KERNELS[operator][1])
        before, after = (
            F.l1_loss(trained(replace(plan, steps=steps), photographs, 3)(x := photographs / 255), x)
            for steps in (0, 10)
        )
        assert after < 0.7 * before


def test_the_same_seed_trains_the_same_weights(photographs):
    plan = replace(PLAN, steps=3)
    one, same, other = (trained(plan, photographs, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_a_painting_is_the_network_s_output_in_grey_levels(photographs):
    network = trained(PLAN, photographs, 1)
    pixels = np.ascontiguousarray(photographs[1].permute(1, 2, 0).numpy()[:32, :40])
    made = painted(network, pixels)
    assert made.dtype == np.uint8
    assert made.shape == (32, 40, 3)
    with torch.no_grad():
        expected = network(torch.tensor(pixels / 255, dtype=torch.float32).permute(2, 0, 1)[None])[0]
    assert np.abs(made - 255 * expected.clamp(0, 1).permute(1, 2, 0).numpy()).max() < 0.501
    with torch.no_grad():
        network.decoder[-1].bias.fill_(9)  # brighter than white
    assert (painted(network, pixels) == 255).all()


@pytest.fixture
def quick(monkeypatch):
    """Plans that take no time to train."""
    monkeypatch.setattr(
        upsampling, "draw_plan", lambda operator, rng: replace(draw_plan(operator, rng), steps=1, width=6)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs of several sizes, one of them damaged."""
    where = tmp_path_factory.mktemp("photographs")
    for place, square in enumerate(squares(3)):
        Image.fromarray(square[: 48 - 8 * place]).save(where / f"{place}.png")
    (where / "9.png").write_bytes(b"torn")
    return where


def test_there_are_so_many_variants_of_each_operator_and_none_paints_like_another(quick, folder):
    made = {one.name: one.make(squares(1)[0], 0) for one in simulators(folder, seed=1)}
    assert sorted(made) == sorted(f"simulated-{o}-{n}" for o in OPERATORS for n in range(VARIANTS))
    assert len({picture.tobytes() for picture in made.values()}) == len(OPERATORS) * VARIANTS
    assert {picture.shape for picture in made.values()} == {(48, 48, 3)}


def test_an_up_sampler_is_the_same_alone_and_among_others(quick, folder):
    def paintings(*names, seed=1):
        return [one.make(squares(1)[0], 0).tobytes() for one in simulators(folder, seed, names)]

    two = ["simulated-shuffle-2", "simulated-nearest-0"]
    assert paintings(*two) == [*paintings(two[0]), *paintings(two[1])]
    assert paintings(two[0]) != paintings(two[0], seed=2)


def test_names_that_no_up_sampler_has_are_refused(folder):
    with pytest.raises(ConfigError, match=r"there is no simulated-nearest-9; the names are: simulated-"):
        next(simulators(folder, 1, ["simulated-nearest-0", "simulated-nearest-9"]))
    with pytest.raises(
        ConfigError, match="no up-sampling is named 'cubic'; the names are: nearest, bilinear"
    ):
        doubled(replace(PLAN, operator="cubic"))


def test_a_folder_without_photographs_is_refused(tmp_path):
    (tmp_path / "torn.png").write_bytes(b"torn")
    for where in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="has no readable photograph"):
            next(simulators(where, 1))
