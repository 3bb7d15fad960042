"""A CT slice from a DICOM file: Hounsfield units, the padding around them, the spacing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset, FileDataset
from pydicom.errors import InvalidDicomError

from ct_denoise.dicom.checks import CHECKS, DicomError

AIR_HU = -1000.0


@dataclass(frozen=True, slots=True)
class CtSlice:
    """One slice: ``hu`` (rows, columns) in Hounsfield units, ``padding`` where nothing was reconstructed.

    Padding is air in ``hu``; ``stored`` keeps the pixel values of the file, sign-extended; ``spacing_mm`` is the
    edge of a pixel.
    """

    hu: NDArray[np.float64]
    padding: NDArray[np.bool_]
    stored: NDArray[np.int64]
    spacing_mm: float
    dataset: FileDataset


def read_slice(path: str | Path) -> CtSlice:
    """Read a CT slice. Raises ``DicomError``, which names the file, when it is none or cannot be decoded."""
    try:
        data = read_dataset(Path(path))
        for check in CHECKS:
            check(data)
        return slice_of(data)
    except DicomError as error:
        raise DicomError(f"{path}: {error}") from error


def read_dataset(path: Path) -> FileDataset:
    """Parse the file, its deferred elements included."""
    try:
        data = pydicom.dcmread(path)
        data.decode()
    except InvalidDicomError:
        raise DicomError("this is not a DICOM file: the letters DICM are missing at byte 128") from None
    except OSError as error:
        raise DicomError(f"a DICOM file is needed, and this cannot be read: {error.strerror or error}") from error
    except Exception as error:  # pydicom raises many kinds on malformed elements
        raise DicomError(f"the file is damaged, fetch it again: {error}") from error
    return data


def slice_of(data: FileDataset) -> CtSlice:
    """Decode the pixels of a dataset that passed every check."""
    raw = decode(data)
    stored = sign_extend(raw, data)
    padding = padding_of(data, raw, stored)
    hu = stored * float(data.RescaleSlope) + float(data.RescaleIntercept)
    hu[padding] = AIR_HU
    return CtSlice(hu, padding, stored, float(data.PixelSpacing[0]), data)


def decode(data: FileDataset) -> NDArray[np.int64]:
    """The pixels (rows, columns) as the file has them, bits beyond BitsStored included."""
    check_length(data)
    try:
        raw = data.pixel_array
    except Exception as error:  # each decoder raises its own kinds
        raise DicomError(f"the pixel data is damaged or cut off, fetch the file again: {error}") from error
    if raw.shape != (data.Rows, data.Columns):
        raise DicomError(f"{data.Rows} x {data.Columns} pixels are announced, {raw.shape} came out of the pixel data")
    return raw.astype(np.int64)


def check_length(data: FileDataset) -> None:
    """Uncompressed pixel data is as long as rows, columns and bits say."""
    if data.file_meta.TransferSyntaxUID.is_compressed:
        return
    want, got = data.Rows * data.Columns * data.BitsAllocated // 8, len(data.PixelData)
    if got < want:
        raise DicomError(f"the pixel data is cut off: {want} bytes are needed, {got} came: fetch the file again")


def sign_extend(raw: NDArray[np.int64], data: Dataset) -> NDArray[np.int64]:
    """Drop the bits beyond BitsStored (old files keep overlays there) and take the sign from the highest left."""
    bits = int(data.BitsStored)
    value = raw & ((1 << bits) - 1)
    return value - ((value >> (bits - 1)) << bits) if data.PixelRepresentation else value


def padding_of(data: Dataset, raw: NDArray[np.int64], stored: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where PixelPaddingValue, or the range up to PixelPaddingRangeLimit, says that nothing was reconstructed.

    Files exist whose padding value uses bits beyond BitsStored, so both readings of a pixel are compared.
    """
    limits = padding_limits(data)
    if limits is None:
        return np.zeros(stored.shape, bool)
    low, high = limits
    return ((low <= raw) & (raw <= high)) | ((low <= stored) & (stored <= high))


def padding_limits(data: Dataset) -> tuple[int, int] | None:
    """The lowest and the highest stored value that mean padding, in the sign of the pixels."""
    if data.get("PixelPaddingValue") is None:
        return None
    ends = [data.PixelPaddingValue, data.get("PixelPaddingRangeLimit", data.PixelPaddingValue)]
    low, high = sorted(with_sign_of_pixels(int(end), data) for end in ends)
    return low, high


def with_sign_of_pixels(value: int, data: Dataset) -> int:
    """The padding value has an ambiguous type (US or SS): read its bits as the pixels' are read."""
    bits = int(data.BitsAllocated)
    value &= (1 << bits) - 1
    return value - (1 << bits) if data.PixelRepresentation and value >> (bits - 1) else value
