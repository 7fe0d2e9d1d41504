"""Medical image files in and out, placed in space the way Slicer places them.

Slicer reads with ITK, so the geometry of a NIfTI file is asked of ITK here too: a header that says different things in
different fields (ACDC: true spacing in pixdim, 1 mm in the sform) then means the same here as there. Voxels are read by
nibabel, pynrrd and Pillow, because ITK fills what a truncated file lacks with zeros and says nothing.
"""

from CardiacSegLib.images.image import (
    IMAGE_EXTENSIONS,
    LABEL_EXTENSIONS,
    NO_SPACING,
    PICTURE_EXTENSIONS,
    Image,
    extension_of,
    stem_of,
)
from CardiacSegLib.images.reading import read_dicom_cine, read_image
from CardiacSegLib.images.writing import check_label_format, write_image, write_labels

__all__ = [
    "IMAGE_EXTENSIONS",
    "LABEL_EXTENSIONS",
    "NO_SPACING",
    "PICTURE_EXTENSIONS",
    "Image",
    "check_label_format",
    "extension_of",
    "read_dicom_cine",
    "read_image",
    "stem_of",
    "write_image",
    "write_labels",
]
