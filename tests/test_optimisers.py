"""Step sizes over a run, and sharpness-aware steps, against their definitions."""

import pytest
import torch
from torch import nn

from pixelkin.lab.optimisers import climbed, drops, merit, optimiser_of, step_size
from pixelkin.lab.recipe import TrainConfig


def recipe(**values):
    return TrainConfig(data="d", out="o", **values)


def history(*accuracies):
    return [{"accuracy": a, "auc": a, "loss": 1 - a} for a in accuracies]


def test_an_accuracy_must_rise_by_a_thousandth_to_be_progress():
    assert drops([0.5, 0.5009, 0.5009], patience=2) == 1
    assert drops([0.5, 0.5010, 0.5019], patience=2) == 0


def test_after_a_drop_progress_begins_anew_and_takes_two_thousandths():
    before = [0.9, 0.8, 0.8]  # two epochs without progress: one drop
    assert drops(before, patience=2) == 1
    assert drops([*before, 0.7, 0.7015, 0.7015], patience=2) == 2
    assert drops([*before, 0.7, 0.7025, 0.7], patience=2) == 1


def test_the_plateau_divides_by_ten_and_ends_below_a_millionth():
    config = recipe(schedule="plateau", lr=1e-4, patience=1)
    sizes = [step_size(config, n, history(*[0.5] * n)) for n in (1, 2, 4, 6)]
    assert sizes == pytest.approx([1e-4, 1e-5, 1e-6, 0.0])


def test_a_linear_schedule_keeps_its_step_then_goes_to_zero():
    config = recipe(schedule="linear", lr=1.0, epochs=100, lr_decay_epochs=75)
    assert [step_size(config, e) for e in (0, 74, 75, 80, 99)] == pytest.approx([1, 1, 1, 0.8, 0.04])


def test_patience_ends_a_run_that_does_not_improve():
    config = recipe(patience=2, keep="loss", lr=1e-3, lr_decay=1.0)
    assert step_size(config, 3, history(0.5, 0.6, 0.7)) == 1e-3
    assert step_size(config, 3, history(0.7, 0.7, 0.6)) == 0
    assert step_size(config, 2, history(0.7, 0.6)) == 1e-3


def test_the_best_weights_are_by_the_figure_asked_for():
    figures = {"auc": 0.8, "accuracy": 0.7, "loss": 0.3}
    assert [merit(k, figures, 4) for k in ("auc", "accuracy", "loss", "last")] == [0.8, 0.7, -0.3, 4.0]


def test_weights_climb_rho_along_their_gradient_and_come_back():
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    network(torch.ones(1, 3)).square().sum().backward()
    before = [p.detach().clone() for p in network.parameters()]
    gradients = [p.grad.clone() for p in network.parameters()]
    norm = sum((g**2).sum() for g in gradients) ** 0.5
    with climbed(network.parameters(), rho=0.05):
        moved = [p.detach() - was for p, was in zip(network.parameters(), before, strict=True)]
        for step, g in zip(moved, gradients, strict=True):
            torch.testing.assert_close(step, 0.05 * g / norm)
        assert sum((m**2).sum() for m in moved) ** 0.5 == pytest.approx(0.05, rel=1e-4)
    assert all(torch.equal(p, was) for p, was in zip(network.parameters(), before, strict=True))


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW"), ("sgd", "SGD")])
def test_the_optimiser_is_the_one_named_and_a_group_keeps_its_own_betas(name, kind):
    network = nn.Linear(2, 1)
    groups = [{"params": [network.weight], "betas": (0.5, 0.999)}, {"params": [network.bias]}]
    made = optimiser_of(recipe(optimiser=name, weight_decay=0.1, momentum=0.9), groups)
    assert type(made).__name__ == kind
    assert made.param_groups[0]["betas"] == (0.5, 0.999)
    assert made.param_groups[1]["weight_decay"] == 0.1
