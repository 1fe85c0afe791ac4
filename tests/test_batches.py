"""What a training run is shown, and in which order."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from tiny import plant

from pixelkin.data import find_samples
from pixelkin.errors import ConfigError, DataError
from pixelkin.lab.batches import Crops, hold_out, plan_epoch, reordered, spread
from pixelkin.lab.detectors import detector_class
from pixelkin.lab.recipe import Degradations, TrainConfig
from pixelkin.types import Sample


def config(**values):
    return TrainConfig(**{"data": "-", "out": "-", "policy": "native", "crop": 32} | values)


def samples(**counts):
    """``cats_real=3`` makes three real samples of source cats."""
    return [
        Sample(f"{source}/{label}/{i}.png", source, int(label == "generated"))
        for name, count in counts.items()
        for source, label in [name.rsplit("_", 1)]
        for i in range(count)
    ]


def shown(plan, of):
    return Counter((of[place].source, of[place].label) for place in plan)


def test_labels_are_drawn_equally_often_and_sources_by_their_weight():
    some = samples(cats_real=400, dogs_real=100, gan_generated=50)
    by_image = shown(plan_epoch(some, config(balance=1, images_per_epoch=1000), 0), some)
    assert by_image == {("cats", 0): 400, ("dogs", 0): 100, ("gan", 1): 500}
    by_source = shown(plan_epoch(some, config(balance=0, images_per_epoch=1000), 0), some)
    assert by_source == {("cats", 0): 250, ("dogs", 0): 250, ("gan", 1): 500}
    between = shown(plan_epoch(some, config(balance=0.5, images_per_epoch=900), 0), some)
    assert between == {("cats", 0): 300, ("dogs", 0): 150, ("gan", 1): 450}


def test_no_image_comes_again_before_all_of_its_source_have_come():
    some = samples(cats_real=30, gan_generated=10)
    times = Counter(plan_epoch(some, config(images_per_epoch=60), 3))
    assert {times[place] for place in range(30)} == {1}
    assert {times[place] for place in range(30, 40)} == {3}


def test_a_balanced_set_is_shown_whole_in_every_epoch_in_another_order():
    some = samples(cats_real=20, gan_generated=20)
    first, second = (plan_epoch(some, config(), epoch) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second
    assert first == plan_epoch(some, config(), 0)


def test_groups_are_held_out_whole():
    some = [Sample(f"art/1_fake/{g}_{t:02}.png", "art", 1) for g in range(60) for t in range(16)]
    some += samples(cats_real=200)
    training, held = hold_out(some, config(validation_group=r"_\d\d\.png$", validation_share=0.2))
    groups = [{s.path.split("_")[1] for s in part if s.label == 1} for part in (training, held)]
    assert not groups[0] & groups[1]
    assert 4 <= len(groups[1]) <= 22
    assert len(training) + len(held) == len(some)
    assert (training, held) == hold_out(some, config(validation_group=r"_\d\d\.png$", validation_share=0.2))


def test_a_set_too_small_to_part_is_refused_by_label():
    with pytest.raises(DataError, match="no generated images are left for"):
        hold_out(samples(cats_real=100, gan_generated=1), config())
    with pytest.raises(ConfigError, match="validation_group"):
        hold_out(samples(cats_real=1), config(validation_group="("))


def test_validation_takes_of_every_source_alike():
    some = samples(cats_real=1000, dogs_real=10, gan_generated=100)
    assert shown(range(60), spread(some, 60, seed=1)) == {("cats", 0): 25, ("dogs", 0): 10, ("gan", 1): 25}
    assert len(spread(some, 10_000, seed=1)) == 1110


def test_real_and_generated_images_meet_the_same_degradations(tmp_path):
    plant(tmp_path, 2)
    both = [Sample(f"squares/{f}/00.png", "squares", y) for y, f in enumerate(("0_real", "0_real"))]
    crops = [
        Crops(
            tmp_path, [sample], [0], detector_class("npr")(), config(degradations=Degradations(jpeg=0.5)), 4
        )[0]
        for sample in both
    ]
    assert torch.equal(crops[0][0], crops[1][0])
    assert [int(label) for _, label in crops] == [0, 1]


def test_a_tensor_is_a_function_of_seed_epoch_and_place(tmp_path):
    some = [Sample(f"squares/1_fake/{i:02}.png", "squares", 1) for i in range(4)]
    plant(tmp_path, 4)

    def tensor(place, **values):
        seen = config(**{"seed": 1} | values)
        return Crops(tmp_path, some, [0, 0, 1], detector_class("npr")(), seen, values.pop("epoch", 0))[place][
            0
        ]

    assert torch.equal(tensor(0), tensor(0))
    assert not torch.equal(tensor(0), tensor(1))
    assert not torch.equal(tensor(0), tensor(0, seed=2))


def test_an_unreadable_image_gives_its_place_to_another_of_its_label(tmp_path, caplog):
    plant(tmp_path, 3)
    (tmp_path / "squares/1_fake/00.png").write_bytes(b"\x89PNG")
    some = [Sample(f"squares/1_fake/{i:02}.png", "squares", 1) for i in range(3)]
    tensor, label = Crops(tmp_path, some, [0], detector_class("npr")(), config(), 0)[0]
    assert tensor.shape == (3, 32, 32)
    assert label == 1
    assert "00.png" in caplog.text


def test_a_set_that_cannot_be_read_at_all_stops_the_run():
    gone = [Sample(f"1_fake/{i}.png", ".", 1) for i in range(3)]
    with pytest.raises(DataError, match="8 images in a row"):
        Crops(Path("nowhere"), gone, [0], detector_class("npr")(), config(), 0)[0]


class Inverting(type(detector_class("npr")())):
    """Makes its own generated images: negatives of photographs."""

    from_photographs = True

    def example(self, pixels, rng):  # noqa: ARG002 - the same call as its siblings
        return 255 - pixels


def test_a_system_that_trains_on_photographs_sees_each_with_its_twin(tmp_path):
    some = find_samples(plant(tmp_path))
    plan = plan_epoch(some, config(images_per_epoch=10), 0, twins=True)
    assert len(plan) == 10
    assert plan[::2] == plan[1::2]
    assert {some[place].label for place in plan} == {0}
    crops = Crops(tmp_path, some, plan, Inverting(), config(crop=16), epoch=0)
    (photograph, real), (twin, generated) = crops[0], crops[1]
    assert (int(real), int(generated)) == (0, 1)
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in Inverting.statistics)
    torch.testing.assert_close(1 - (photograph * deviation + mean), twin * deviation + mean)


def test_its_validation_images_are_those_it_is_given(tmp_path):
    some = find_samples(plant(tmp_path))
    crops = Crops(tmp_path, some, range(len(some)), Inverting(), config(crop=16), epoch=None)
    assert [int(label) for _, label in crops] == [sample.label for sample in some]


def test_crops_kept_over_epochs_come_in_another_order_and_twins_together():
    kept = config(same_crops=True)
    assert reordered(6, kept, 0) == list(range(6))
    first, second = reordered(60, kept, 1), reordered(60, kept, 2)
    assert sorted(first) == sorted(second) == list(range(60))
    assert first != second
    pairs = reordered(60, kept, 1, twins=True)
    assert [place + 1 for place in pairs[::2]] == pairs[1::2]
    assert reordered(6, config(), 3) == list(range(6))
