"""Real DICOM files of any make for the tests: each is written to disk and read back as a user's would be."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

RAMP = np.arange(6 * 8).reshape(6, 8) * 40


def ct_dataset(pixels: NDArray[np.integer] = RAMP, bits: int = 12, signed: bool = False, **attributes) -> Dataset:
    """A CT slice with these stored values; ``attributes`` are set last, and None removes one."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    data.Modality, data.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.PatientName, data.PatientID = "Phantom^Test", "T1"
    data.SeriesNumber, data.InstanceNumber = 3, 7
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, bits, bits - 1, int(signed)
    data.RescaleSlope, data.RescaleIntercept, data.PixelSpacing = 1, -1024, [0.7, 0.7]
    data.PixelData = pixels.astype("<i2" if signed else "<u2").tobytes()
    data["PixelData"].VR = "OW"
    for name, value in attributes.items():
        set_or_remove(data, name, value)
    return data


def set_or_remove(data: Dataset, name: str, value: object) -> None:
    if value is None:
        del data[name]
    else:
        setattr(data, name, value)


def write_ct(path: Path, pixels: NDArray[np.integer] = RAMP, **options) -> Path:
    """Write ``ct_dataset(pixels, **options)``."""
    ct_dataset(pixels, **options).save_as(path, enforce_file_format=True)
    return path
