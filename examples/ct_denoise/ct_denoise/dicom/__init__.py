"""CT slices in, derived CT slices out, as DICOM files."""

from ct_denoise.dicom.checks import DicomError
from ct_denoise.dicom.read import CtSlice, read_slice
from ct_denoise.dicom.write import Derivation, write_derived

__all__ = ["CtSlice", "Derivation", "DicomError", "read_slice", "write_derived"]
