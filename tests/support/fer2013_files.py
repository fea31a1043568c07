"""Writes small files in FER-2013's and FER+'s layout, with images that a tiny network can learn."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

SIDE = 48
VOTE_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
# Settings with which the patterns are learned in seconds; narrower layers make oneDNN fail.
TINY = {
    "name": "tiny",
    "options": {"stem": 16, "widths": [16, 24], "blocks": [1, 1], "dropout": 0.0},
    "augment": {"erase": 0.0, "shift": 0.02, "rotate": 2.0, "scale": 0.02},
    "batch_size": 28,
    "learning_rate": 0.01,
    "average_momentum": 0.8,
}
# Index of the vote column for each fer7 label.
VOTE_OF_LABEL = (4, 5, 6, 1, 3, 2, 0)


def pattern(label: int, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw a grey image uint8 [48, 48] whose stripes or checks encode the label; one pixel is black, one white."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    period = (6, 12)[label % 2]
    across, down = rows // (period // 2) % 2, columns // (period // 2) % 2
    stripes = (across, down, across ^ down, np.zeros_like(across))[label // 2]
    image = generator.integers(20, 90, (SIDE, SIDE)) + 150 * stripes
    image[0, 0], image[-1, -1] = 0, 255
    return np.asarray(image, np.uint8)


def face_line(label: int | str, pixels: npt.NDArray[np.uint8], usage: str) -> str:
    """Format a row of fer2013.csv."""
    return f"{label},{' '.join(map(str, pixels.ravel()))},{usage}"


def write_files(folder: Path, training: int = 140, test: int = 30, mirrored: bool = False) -> Path:
    """Write fer2013.csv and fer2013new.csv with `training` rows, and `test` rows in each of the other two splits.

    mirrored: True makes every image its own mirror image.
    """
    generator = np.random.default_rng(5)
    faces, votes = ["emotion,pixels,Usage"], [VOTE_HEADER]
    for usage, count in (("Training", training), ("PublicTest", test), ("PrivateTest", test)):
        for row in range(count):
            label = row % 7
            image = pattern(label, generator)
            if mirrored:
                image[:, SIDE // 2 :] = image[:, SIDE // 2 - 1 :: -1]
            faces.append(face_line(label, image, usage))
            counts = [0] * 10
            counts[VOTE_OF_LABEL[label]], counts[8] = 9, 1
            votes.append(f"{usage},fer{row:07d}.png,{','.join(map(str, counts))}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fer2013.csv").write_text("\n".join(faces) + "\n")
    (folder / "fer2013new.csv").write_text("\n".join(votes) + "\n")
    return folder
