"""What a training run chooses by name, each with the line that a person reads; imports nothing heavy.

The builders of these names stand in :mod:`losses`, :mod:`optimizers`, :mod:`schedules` and :mod:`augmentation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from CardiacSegLib.errors import CardiacSegError

LOSSES: Mapping[str, str] = {
    "dice-ce": "Dice plus cross-entropy, as in nnU-Net (Isensee et al., Nature Methods 2021)",
    "dice": "Dice of the structures over the whole batch (Milletari et al., 3DV 2016, arXiv 1606.04797)",
    "weighted-dice-ce": "dice-ce with median-frequency weights (Eigen and Fergus, ICCV 2015, arXiv 1411.4734)",
    "focal": "cross-entropy that looks at what is still wrong (Lin et al., ICCV 2017, arXiv 1708.02002)",
    "dice-focal": "Dice plus focal loss (AnatomyNet, Zhu et al., Medical Physics 2019, arXiv 1808.05238)",
    "tversky": "Dice to which a missed pixel is worse than a false one (Salehi et al., MLMI 2017, arXiv 1706.05721)",
    "generalized-dice": "Dice with weights of one over the squared size (Sudre et al., DLMIA 2017, arXiv 1707.03237)",
    "lovasz-softmax": "the Jaccard index, made continuous (Berman et al., CVPR 2018, arXiv 1705.08790)",
    "boundary": "Dice plus the distance of errors from the border (Kervadec et al., MIDL 2019, arXiv 1812.07032)",
}

OPTIMIZERS: Mapping[str, str] = {
    "adamw": "Adam with a weight decay of its own (Loshchilov and Hutter, ICLR 2019, arXiv 1711.05101)",
    "adam": "steps scaled by the gradient's recent size (Kingma and Ba, ICLR 2015, arXiv 1412.6980)",
    "sgd": "gradient descent with Nesterov's momentum (Sutskever et al., ICML 2013)",
    "adagrad": "steps scaled by the sum of all former gradients (Duchi et al., JMLR 2011)",
}

SCHEDULES: Mapping[str, str] = {
    "one-cycle": "up for a tenth of the run, then down to nearly nothing (Smith and Topin, 2018, arXiv 1708.07120)",
    "cosine": "down along a cosine (Loshchilov and Hutter, ICLR 2017, arXiv 1608.03983)",
    "polynomial": "down along a power of what is left, as in nnU-Net (Chen et al., 2017, arXiv 1606.00915)",
    "plateau": "down when the validation Dice stops rising, as in the first nnU-Net (Isensee et al., arXiv 1809.10486)",
}

AUGMENTATIONS: Mapping[str, str] = {
    "cardiac-mr": "turns, flips, zoom, bending, and what differs between scanners (after Isensee et al., 2021)",
    "none": "crops around the heart from random places, and nothing else",
    "flips-turns": "flips, and turns by up to 180 degrees",
    "elastic-grid": "elastic deformation (Simard et al., ICDAR 2003) and grid distortion (Buslaev et al., 2020)",
    "ultrasound": "for echocardiography: small tilts and zooms, gain, speckle and resolution; no flips",
}

#: Highest learning rate of each optimizer, for networks with normalization layers and batches of about sixteen slices.
_LEARNING_RATES: Mapping[str, float] = {"adamw": 2e-3, "adam": 2e-3, "sgd": 5e-2, "adagrad": 2e-2}
#: AdamW's decay is scaled by the learning rate alone; that of the others is part of the gradient and has to be small.
_WEIGHT_DECAYS: Mapping[str, float] = {"adamw": 5e-2, "adam": 3e-5, "sgd": 3e-5, "adagrad": 3e-5}

Entry = TypeVar("Entry")


def pick(kind: str, name: str, entries: Mapping[str, Entry]) -> Entry:
    """The entry of that name.

    Raises:
        CardiacSegError: naming the choices, where there is none.
    """
    if name not in entries:
        raise CardiacSegError(f"{kind} '{name}' is not known; choose one of {', '.join(entries)}")
    return entries[name]


def default_learning_rate(optimizer: str) -> float:
    """The highest learning rate for an optimizer where a person names none."""
    return pick("optimizer", optimizer, _LEARNING_RATES)


def default_weight_decay(optimizer: str) -> float:
    """The weight decay for an optimizer where a person names none."""
    return pick("optimizer", optimizer, _WEIGHT_DECAYS)
