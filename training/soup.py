"""Model soup: a network with the mean of the weights of several runs with a common start."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.errors import EmotionEdgeError
from training.config import CONFIG_FILE, NETWORK_FILE, read_config, write_config
from training.evaluation.figures import load_network, save_network


def soup(runs: Sequence[Path], out: Path) -> Path:
    """Write a run whose network has the mean of the weights of several runs (a model soup, Wortsman et al. 2022).

    Batch statistics are included; the settings are the last run's. The runs must have a common start, else the mean is
    meaningless: evaluate the result. Returns the network's path. Raises EmotionEdgeError where a run is not finished,
    networks differ in shape, or the folder holds a run already.
    """
    if len({run.resolve() for run in runs}) < 2:
        raise EmotionEdgeError("soup: takes two runs or more")
    if (out / NETWORK_FILE).exists():
        raise EmotionEdgeError(f"{out}: holds a run already; remove it or take another name")
    networks = [load_network(run) for run in runs]
    weights = [network.get_weights() for network in networks]
    shapes = [
        (network.output_names, [array.shape for array in each]) for network, each in zip(networks, weights, strict=True)
    ]
    for run, shape in zip(runs, shapes, strict=True):
        if shape != shapes[0]:
            raise EmotionEdgeError(f"{run}: not the same network as {runs[0]}; only the same have a mean")
    settings = {"name": out.resolve().name, "mean_of": [str(run) for run in runs]}
    config = read_config(runs[-1] / CONFIG_FILE, settings)
    networks[-1].set_weights([np.mean(arrays, axis=0) for arrays in zip(*weights, strict=True)])
    out.mkdir(parents=True, exist_ok=True)
    write_config(config, out / CONFIG_FILE)
    return save_network(networks[-1], out)
