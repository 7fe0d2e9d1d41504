"""PNG and other pictures, by Pillow: one slice each, without a spacing."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from CardiacSegLib.errors import CardiacSegError
from CardiacSegLib.images.checks import UNREADABLE, check_size, not_readable
from CardiacSegLib.images.image import LPS_TO_RAS, Image

#: A picture of more pixels is none of a heart.
MOST_PIXELS = 2**26


def read_picture(path: Path) -> Image:
    """One slice (columns, rows, 1) with the first pixel top left, which is right and front, as ITK places a picture."""
    import PIL.Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow merely warns of does not keep it from reading
            with PIL.Image.open(path) as picture:
                check_size(picture.size, path, MOST_PIXELS)
                if getattr(picture, "n_frames", 1) > 1:
                    raise CardiacSegError(f"{path}: holds {picture.n_frames} pictures; give each a file of its own")
                array = _gray_values(picture, path)
    except (*UNREADABLE, PIL.Image.DecompressionBombError) as error:
        raise not_readable(path, error) from error
    # Dots per inch, where a picture has them, tell how large to print it: they are no spacing.
    return Image(np.ascontiguousarray(array.T[..., None]), LPS_TO_RAS.copy(), path, spacing_known=False)


def _gray_values(picture: Any, path: Path) -> np.ndarray:
    """The pixels of a Pillow image (rows, columns); those of a palette of colors are its indices, as masks use them."""
    palette = picture.getpalette() if picture.mode == "P" else None
    if picture.mode == "1" or (palette and palette[0::3] == palette[1::3] == palette[2::3]):
        picture = picture.convert("L")
    array = np.asarray(picture)
    if array.ndim == 3:
        # Programs often save gray as color, with an opaque alpha.
        colors = array[..., : 3 if array.shape[2] >= 3 else 1]
        if (colors != colors[..., :1]).any() or picture.mode not in ("LA", "RGB", "RGBA"):
            raise CardiacSegError(f"{path}: has colors; convert it to a grayscale image")
        array = colors[..., 0]
    return array.astype(array.dtype.newbyteorder("="))
