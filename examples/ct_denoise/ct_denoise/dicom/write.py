"""A derived CT slice as a DICOM file of its own, that says where it comes from.

After DICOM PS3.3 C.7.6.1 (General Image: derivation and source) and C.8.2.1 (CT Image: image type, rescale).
"""

import datetime as dt
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileDataset, dcmwrite
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from ct_denoise.dicom.checks import DicomError
from ct_denoise.dicom.read import CtSlice, padding_limits

WIDE = np.iinfo(np.int16)
STALE = (
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "IconImageSequence",
    "DigitalSignaturesSequence",
    "MACParametersSequence",
    "OriginalAttributesSequence",
    "DataSetTrailingPadding",
    "PixelDataProviderURL",
)
"""What was true of the source's pixels or encoding only."""
OVERLAYS = range(0x6000, 0x6020, 2)


@dataclass(frozen=True, slots=True)
class Derivation:
    """Why a slice is not its source: ``description`` (up to 1024 characters) and a title for its series."""

    description: str
    series: str = "Denoised under encryption"


def write_derived(source: CtSlice, hu: NDArray[np.floating], derivation: Derivation, path: str | Path) -> FileDataset:
    """Write ``hu``, rounded to whole Hounsfield units, as an image derived from ``source``; return its dataset.

    Reading the file back gives exactly ``np.rint(hu)``; padding stays padding. New instance and series UIDs, same
    study and frame of reference. Raises ``DicomError`` for a wrong shape and for values no file can hold.
    """
    check_values(source, hu)
    data = deepcopy(source.dataset)
    data.remove_private_tags()
    drop_stale(data)
    set_identity(data, source.dataset)
    set_derivation(data, source.dataset, derivation)
    set_pixels(data, source, np.rint(hu).astype(np.int64))
    dcmwrite(path, data, enforce_file_format=True)
    return data


def check_values(source: CtSlice, hu: NDArray[np.floating]) -> None:
    """The image has the source's shape and can be stored in 16 bits."""
    if hu.shape != source.hu.shape:
        raise DicomError(f"a derived image of {source.hu.shape} is needed, the shape of its source, got {hu.shape}")
    if not np.isfinite(hu).all() or hu.min() <= WIDE.min or hu.max() > WIDE.max:
        raise DicomError(f"Hounsfield units within {WIDE.min + 1}..{WIDE.max} are needed, got {hu.min()}..{hu.max()}")


def drop_stale(data: Dataset) -> None:
    """Remove what described the source's pixels, and overlays drawn on them."""
    groups = {tag.group for tag in data.keys()}  # noqa: SIM118 - a dataset iterates over elements, not tags
    for group in groups & set(OVERLAYS):
        for element in data.group_dataset(group):
            del data[element.tag]
    for name in STALE:
        if name in data:
            del data[name]


def set_identity(data: FileDataset, source: Dataset) -> None:
    """A new instance in a new series of the same study, made now."""
    now = dt.datetime.now(zone_of(source))
    data.SOPInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.SeriesNumber = int(source.get("SeriesNumber") or 0) + 1000
    for stem in ("InstanceCreation", "Series", "Content"):
        setattr(data, f"{stem}Date", now.strftime("%Y%m%d"))
        setattr(data, f"{stem}Time", now.strftime("%H%M%S"))
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID


def zone_of(source: Dataset) -> dt.tzinfo | None:
    """The time zone that the source's dates and times are in; None is local time."""
    offset = str(source.get("TimezoneOffsetFromUTC") or "")
    return dt.datetime.strptime(offset, "%z").tzinfo if offset else None


def set_derivation(data: Dataset, source: Dataset, derivation: Derivation) -> None:
    """Say that the pixels are computed, how, from which image, and by what."""
    data.ImageType = ["DERIVED", "SECONDARY", *(list(source.get("ImageType") or [])[2:] or ["AXIAL"])]
    data.SeriesDescription = derivation.series
    data.DerivationDescription = derivation.description
    data.DerivationCodeSequence = [coded(codes.cid7203.Smoothing)]
    data.SourceImageSequence = [source_reference(source)]
    data.ContributingEquipmentSequence = [*data.get("ContributingEquipmentSequence", []), equipment()]
    if source.file_meta.TransferSyntaxUID in LOSSY:
        data.LossyImageCompression = "01"


LOSSY = {
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.203",
}
"""JPEG baseline and extended, JPEG-LS near-lossless, JPEG 2000, HTJ2K: once lossy, always said so."""


def source_reference(source: Dataset) -> Dataset:
    """An item of SourceImageSequence."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    item.SpatialLocationsPreserved = "YES"
    item.PurposeOfReferenceCodeSequence = [coded(codes.DCM.SourceImageForImageProcessingOperation)]
    return item


def equipment() -> Dataset:
    """An item of ContributingEquipmentSequence."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [coded(codes.DCM.ProcessingEquipment)]
    item.Manufacturer = item.ManufacturerModelName = "enclair"
    return item


def coded(code: Code) -> Dataset:
    """A code as an item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def set_pixels(data: FileDataset, source: CtSlice, hu: NDArray[np.int64]) -> None:
    """Store whole Hounsfield units in the source's own format where that is exact, else in 16 signed bits."""
    if fits_source(source, hu):
        stored = np.where(source.padding, source.stored, hu - int(data.RescaleIntercept))
    else:
        stored = np.where(source.padding, WIDE.min, hu)
        widen(data, has_padding=bool(source.padding.any()))
    data.RescaleType = "HU"
    del data["PixelData"]
    data.PixelData = stored.astype("<i2").tobytes()
    data["PixelData"].VR = "OW"
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def fits_source(source: CtSlice, hu: NDArray[np.int64]) -> bool:
    """Whether the source's slope, intercept and bits hold every value of ``hu`` exactly, and none reads as padding."""
    data = source.dataset
    if data.BitsAllocated != WIDE.bits or float(data.RescaleSlope) != 1 or float(data.RescaleIntercept) % 1:
        return False
    low, high = stored_range(data)
    pad_low, pad_high = padding_limits(data) or (low - 1, low - 1)
    kept = hu[~source.padding] - int(data.RescaleIntercept)
    held = (low <= kept) & (kept <= high) & ~((pad_low <= kept) & (kept <= pad_high))
    padding = source.stored[source.padding]
    return bool(held.all() and ((pad_low <= padding) & (padding <= pad_high)).all())


def stored_range(data: Dataset) -> tuple[int, int]:
    """The lowest and the highest value that the bits of a pixel hold."""
    bits = int(data.BitsStored)
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if data.PixelRepresentation else (0, (1 << bits) - 1)


def widen(data: Dataset, *, has_padding: bool) -> None:
    """16 signed bits that are Hounsfield units as they stand; the lowest value is padding."""
    data.BitsAllocated = data.BitsStored = WIDE.bits
    data.HighBit, data.PixelRepresentation = WIDE.bits - 1, 1
    data.RescaleSlope, data.RescaleIntercept = 1, 0
    for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        if name in data:
            del data[name]
    if has_padding:
        data.add_new("PixelPaddingValue", "SS", int(WIDE.min))
