"""Weights as their authors publish them."""


def official(detector):
    """The state dict of a FerretNet by the official program's names."""
    ours = {
        "trunk.": "",
        ".layers.3.0.": ".layers.3.depth_wise.",
        ".layers.3.1.": ".layers.3.point_wise.",
        "head.": "logit.",
    }
    names = {}
    for name, tensor in detector.state_dict().items():
        for own, theirs in ours.items():
            name = name.replace(own, theirs)
        names[name] = tensor
    return names
