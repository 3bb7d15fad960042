import numpy as np
import pytest
from ct_denoise.dicom import DicomError, read_slice
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, ExplicitVRBigEndian, ImplicitVRLittleEndian, MRImageStorage, RLELossless
from tests.examples.ct_denoise.dicom_files import RAMP, ct_dataset, write_ct

SIGNED = RAMP - 900


def hu_of(path):
    return read_slice(path).hu


def test_stored_values_become_hounsfield_units(tmp_path):
    np.testing.assert_array_equal(hu_of(write_ct(tmp_path / "a.dcm")), RAMP - 1024)


def test_slope_and_intercept_are_applied(tmp_path):
    path = write_ct(tmp_path / "a.dcm", RescaleSlope="0.5", RescaleIntercept="-1000.25")
    np.testing.assert_array_equal(hu_of(path), RAMP * 0.5 - 1000.25)


@pytest.mark.parametrize("bits", [12, 13, 16])
def test_signed_values_of_any_width(tmp_path, bits):
    path = write_ct(tmp_path / "a.dcm", SIGNED, bits=bits, signed=True, RescaleIntercept=0)
    np.testing.assert_array_equal(hu_of(path), SIGNED)


def test_sixteen_unsigned_bits(tmp_path):
    pixels = RAMP * 30
    np.testing.assert_array_equal(hu_of(write_ct(tmp_path / "a.dcm", pixels, bits=16)), pixels - 1024)


def test_bits_beyond_those_stored_are_dropped(tmp_path):
    overlay = RAMP | 0x8000
    np.testing.assert_array_equal(hu_of(write_ct(tmp_path / "a.dcm", overlay)), RAMP - 1024)


def test_signed_values_without_sign_extension_in_the_file(tmp_path):
    path = write_ct(tmp_path / "a.dcm", SIGNED & 0xFFF, bits=12, signed=True, RescaleIntercept=0)
    np.testing.assert_array_equal(hu_of(path), SIGNED)


def test_monochrome1_is_a_matter_of_display_and_not_of_values(tmp_path):
    path = write_ct(tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(hu_of(path), RAMP - 1024)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_uncompressed_encodings(tmp_path, syntax):
    data = ct_dataset(PixelPaddingValue=0)
    data.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        data.PixelData = RAMP.astype(">u2").tobytes()
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    image = read_slice(tmp_path / "a.dcm")
    np.testing.assert_array_equal(image.hu, np.where(RAMP == 0, -1000, RAMP - 1024))


def test_compressed_pixels_are_decoded_when_there_is_a_decoder(tmp_path):
    data = ct_dataset()
    data.compress(RLELossless)
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(hu_of(tmp_path / "a.dcm"), RAMP - 1024)


def test_padding_is_air_and_is_told_apart(tmp_path):
    pixels = np.where(RAMP < 100, -2000, RAMP)
    image = read_slice(write_ct(tmp_path / "a.dcm", pixels, bits=16, signed=True, PixelPaddingValue=-2000))
    np.testing.assert_array_equal(image.padding, RAMP < 100)
    assert set(image.hu[image.padding]) == {-1000.0}


def test_padding_given_as_unsigned_bits_of_signed_pixels(tmp_path):
    pixels = np.where(RAMP < 100, -2000, RAMP)
    data = ct_dataset(pixels, bits=16, signed=True)
    data.add_new("PixelPaddingValue", "US", 65536 - 2000)
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_slice(tmp_path / "a.dcm").padding, RAMP < 100)


def test_padding_range(tmp_path):
    path = write_ct(tmp_path / "a.dcm", PixelPaddingValue=0, PixelPaddingRangeLimit=80)
    np.testing.assert_array_equal(read_slice(path).padding, RAMP <= 80)


def test_the_slice_that_comes_with_pydicom():
    image = read_slice(get_testdata_file("CT_small.dcm", download=False))
    assert image.hu.shape == (128, 128)
    assert (image.hu.min(), image.hu.max()) == (-896, 1167)
    assert image.spacing_mm == pytest.approx(0.661468)
    assert not image.padding.any()


REFUSED = {
    "not a CT": ({"Modality": "MR", "SOPClassUID": MRImageStorage}, "Modality CT\\), got Modality MR"),
    "modality missing": ({"Modality": None}, "Modality CT\\), got Modality missing"),
    "localizer": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "got a localizer"),
    "no pixels": ({"PixelData": None}, "no pixel data: it holds a header alone"),
    "several frames": ({"NumberOfFrames": 2}, "one slice is needed, got 2 frames: split the file"),
    "colour": ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "grey image .* got RGB, 3 samples"),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "got PALETTE COLOR, 1 samples"),
    "no slope": ({"RescaleSlope": None}, "lacks RescaleSlope: a CT slice must have them"),
    "two missing": ({"RescaleIntercept": None, "PixelSpacing": None}, "lacks RescaleIntercept, PixelSpacing"),
    "32 bits": ({"BitsAllocated": 32}, "in 8 or 16, are needed, got BitsAllocated 32, BitsStored 12, HighBit 11"),
    "left-aligned": ({"HighBit": 15}, "right-aligned .* HighBit 15"),
    "slope of 0": ({"RescaleSlope": 0}, "positive slope is needed, got 0.0 x"),
    "not HU": ({"RescaleType": "OD"}, "RescaleType HU\\) are needed, got RescaleType OD"),
    "oblong pixels": ({"PixelSpacing": [0.7, 1.4]}, "square pixels are needed, got a PixelSpacing of 0.7 x 1.4 mm"),
    "pixels cut off": ({"PixelData": bytes(90)}, "cut off: 96 bytes are needed, 90 came"),
}


@pytest.mark.parametrize(("attributes", "message"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_is_no_ct_slice_says_why(tmp_path, attributes, message):
    path = write_ct(tmp_path / "bad.dcm", **attributes)
    with pytest.raises(DicomError, match=rf"bad\.dcm: .*{message}"):
        read_slice(path)


def test_a_modality_lut_instead_of_a_rescale(tmp_path):
    data = ct_dataset(RescaleSlope=None, RescaleIntercept=None)
    data.ModalityLUTSequence = [ct_dataset()]
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(DicomError, match="RescaleSlope and RescaleIntercept are needed, got a ModalityLUTSequence"):
        read_slice(tmp_path / "a.dcm")


def test_compressed_without_a_decoder(tmp_path, monkeypatch):
    monkeypatch.setattr("ct_denoise.dicom.checks.can_decode", lambda syntax: False)
    data = ct_dataset()
    data.compress(RLELossless)
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(DicomError, match="compressed as RLE Lossless and no decoder for it is installed: pip install"):
        read_slice(tmp_path / "a.dcm")


def test_compressed_pixels_that_are_damaged(tmp_path):
    data = ct_dataset()
    data.PixelData = encapsulate([b"\x02\x00\x00\x00" + bytes(70)])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = RLELossless
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(DicomError, match="the pixel data is damaged or cut off, fetch the file again"):
        read_slice(tmp_path / "a.dcm")


def test_a_film_compression_has_no_decoder(tmp_path):
    data = ct_dataset()
    data.PixelData = encapsulate([bytes(100)])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = MPEG2MPML
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(DicomError, match=r"compressed as MPEG2 .* and no decoder"):
        read_slice(tmp_path / "a.dcm")


def test_not_a_dicom_file(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"a picture, perhaps" * 20)
    with pytest.raises(DicomError, match=r"a\.dcm: this is not a DICOM file: the letters DICM are missing"):
        read_slice(tmp_path / "a.dcm")


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(DicomError, match="cannot be read: No such file"):
        read_slice(tmp_path / "none.dcm")
    with pytest.raises(DicomError, match="cannot be read: Is a directory"):
        read_slice(tmp_path)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.99])
def test_a_file_cut_anywhere_is_refused(tmp_path, kept):
    whole = write_ct(tmp_path / "whole.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(DicomError, match=r"cut\.dcm: "):
        read_slice(tmp_path / "cut.dcm")


def test_a_header_without_transfer_syntax(tmp_path):
    image = read_slice(write_ct(tmp_path / "a.dcm"))
    del image.dataset.file_meta.TransferSyntaxUID
    from ct_denoise.dicom.checks import check_decoder

    with pytest.raises(DicomError, match="lacks TransferSyntaxUID, which says how the pixels are encoded"):
        check_decoder(image.dataset)
