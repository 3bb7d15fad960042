"""What a DICOM file must be before its pixels are read as Hounsfield units: one check, one message each.

The attributes are those of the CT Image module, DICOM PS3.3 C.8.2.1, and of the Image Pixel module, C.7.6.3.
"""

from collections.abc import Callable

import numpy as np
from pydicom import Dataset
from pydicom.pixels import get_decoder
from pydicom.uid import UID

REQUIRED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelSpacing",
)
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


class DicomError(ValueError):
    """A file is not a CT slice that can be read; the message says what is needed and what came."""


def check_ct(data: Dataset) -> None:
    """The image is an axial CT."""
    if (modality := data.get("Modality")) != "CT":
        raise DicomError(f"a CT slice is needed (Modality CT), got Modality {modality or 'missing'}")
    if "LOCALIZER" in (data.get("ImageType") or ()):
        raise DicomError("an axial CT slice is needed, got a localizer: its pixels are no Hounsfield units")


def check_pixels_present(data: Dataset) -> None:
    """There are integer pixels."""
    found = [name for name in PIXELS if name in data]
    if not found:
        raise DicomError("the file has no pixel data: it holds a header alone, fetch the image with its pixels")
    if found != ["PixelData"]:
        raise DicomError(f"integer pixels (PixelData) are needed, got {found[0]}")


def check_single_frame(data: Dataset) -> None:
    """The image is one slice."""
    if (frames := int(data.get("NumberOfFrames") or 1)) != 1:
        raise DicomError(f"one slice is needed, got {frames} frames: split the file into single frames first")


def check_grey(data: Dataset) -> None:
    """The image has one grey channel. MONOCHROME1 says how to show the values, it does not change them."""
    samples, colour = data.get("SamplesPerPixel", 1), data.get("PhotometricInterpretation", "MONOCHROME2")
    if samples != 1 or colour not in {"MONOCHROME1", "MONOCHROME2"}:
        raise DicomError(
            f"a grey image (MONOCHROME1 or MONOCHROME2, 1 sample a pixel) is needed, got {colour}, {samples} samples"
        )


def check_attributes(data: Dataset) -> None:
    """Every attribute that gives the pixels their meaning is there."""
    missing = [name for name in REQUIRED if data.get(name) in (None, "")]
    if missing and "ModalityLUTSequence" in data:
        raise DicomError("Hounsfield units by RescaleSlope and RescaleIntercept are needed, got a ModalityLUTSequence")
    if missing:
        raise DicomError(f"the image lacks {', '.join(missing)}: a CT slice must have them, export it again")


def check_bits(data: Dataset) -> None:
    """Pixels are integers of 8 to 16 bits, right-aligned in 8 or 16."""
    allocated, stored, high = (int(data[name].value) for name in ("BitsAllocated", "BitsStored", "HighBit"))
    if allocated not in {8, 16} or not 1 <= stored <= allocated or high != stored - 1:
        raise DicomError(
            "pixels of up to 16 bits, right-aligned (HighBit = BitsStored - 1) in 8 or 16, are needed, "
            f"got BitsAllocated {allocated}, BitsStored {stored}, HighBit {high}"
        )


def check_rescale(data: Dataset) -> None:
    """The rescale gives Hounsfield units."""
    slope, intercept = float(data.RescaleSlope), float(data.RescaleIntercept)
    if not (np.isfinite([slope, intercept]).all() and slope > 0):
        raise DicomError(f"a finite rescale with positive slope is needed, got {slope} x + {intercept}")
    if (unit := data.get("RescaleType") or "HU") != "HU":
        raise DicomError(f"pixels in Hounsfield units (RescaleType HU) are needed, got RescaleType {unit}")


def check_spacing(data: Dataset) -> None:
    """Pixels are square enough to be treated as such."""
    row, column = (float(mm) for mm in data.PixelSpacing)
    if not (row > 0 and column > 0 and abs(row - column) <= 0.01 * row):
        raise DicomError(f"square pixels are needed, got a PixelSpacing of {row} x {column} mm: resample the slice")


def check_decoder(data: Dataset) -> None:
    """What is compressed can be decoded by a plug-in of pydicom that is installed."""
    syntax = data.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise DicomError("the file header lacks TransferSyntaxUID, which says how the pixels are encoded")
    if UID(syntax).is_compressed and not can_decode(UID(syntax)):
        raise DicomError(
            f"the pixels are compressed as {UID(syntax).name} and no decoder for it is installed: "
            "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg, or decompress the file first (gdcmconv --raw)"
        )


def can_decode(syntax: UID) -> bool:
    """Whether pydicom knows the transfer syntax and has a working decoder for it."""
    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False


CHECKS: tuple[Callable[[Dataset], None], ...] = (
    check_ct,
    check_pixels_present,
    check_single_frame,
    check_grey,
    check_attributes,
    check_bits,
    check_rescale,
    check_spacing,
    check_decoder,
)
"""In this order, so that the plainest reason is the one that is told."""
