import numpy as np
import pydicom
import pytest
from ct_denoise.dicom import Derivation, DicomError, read_slice, write_derived
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.uid import JPEG2000, ExplicitVRBigEndian, ExplicitVRLittleEndian, RLELossless
from tests.examples.ct_denoise.dicom_files import RAMP, ct_dataset, write_ct

WHY = Derivation("Denoised by a test.", "A test")


@pytest.fixture
def derive(tmp_path):
    """Write a source with these options, derive ``hu`` from it, and return (source, hu, derived), read from disk."""

    def run(hu=None, **options):
        source = read_slice(write_ct(tmp_path / "source.dcm", **options))
        hu = source.hu + 0.4 if hu is None else hu
        write_derived(source, hu, WHY, tmp_path / "derived.dcm")
        return source, hu, read_slice(tmp_path / "derived.dcm")

    return run


FORMATS = {
    "12 bits unsigned": {},
    "16 bits signed": {"bits": 16, "signed": True},
    "12 bits signed, intercept 0": {"pixels": RAMP - 900, "signed": True, "RescaleIntercept": 0},
    "slope not 1": {"RescaleSlope": "0.4"},
    "intercept not whole": {"RescaleIntercept": "-1000.5"},
    "monochrome1": {"PhotometricInterpretation": "MONOCHROME1"},
    "padding": {"pixels": np.where(RAMP < 100, -2000, RAMP), "bits": 16, "signed": True, "PixelPaddingValue": -2000},
    "padding, slope not 1": {"RescaleSlope": 2, "PixelPaddingValue": 0},
    "padding range": {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 80},
}


@pytest.mark.parametrize("options", FORMATS.values(), ids=FORMATS)
def test_whole_hounsfield_units_come_back_exactly_and_padding_stays(derive, options):
    source, hu, derived = derive(**options)
    np.testing.assert_array_equal(derived.padding, source.padding)
    np.testing.assert_array_equal(derived.hu[~source.padding], np.rint(hu)[~source.padding])


@settings(max_examples=30)
@given(
    slope=st.sampled_from([1, 2, 0.1, 0.5]),
    intercept=st.sampled_from([-1024, 0, -8192, -999.5]),
    bits=st.integers(9, 16),
    signed=st.booleans(),
    padding=st.sampled_from([0, 40, 255]),
    seed=st.integers(0, 99),
)
def test_any_format_and_any_values(tmp_path_factory, slope, intercept, bits, signed, padding, seed):
    folder = tmp_path_factory.mktemp("any")
    random = np.random.default_rng(seed)
    stored = random.integers(0, 256, (5, 7))
    options = {"bits": bits, "signed": signed, "PixelPaddingValue": padding}
    source = read_slice(write_ct(folder / "a.dcm", stored, RescaleSlope=slope, RescaleIntercept=intercept, **options))
    hu = random.uniform(-3000, 4000, (5, 7))
    write_derived(source, hu, WHY, folder / "b.dcm")
    derived = read_slice(folder / "b.dcm")
    np.testing.assert_array_equal(derived.padding, stored == padding)
    np.testing.assert_array_equal(derived.hu[~derived.padding], np.rint(hu)[~derived.padding])


def test_the_format_of_the_source_is_kept_where_it_is_exact(derive):
    source, _, derived = derive(PixelPaddingValue=0)
    for name in ("BitsStored", "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "PixelPaddingValue"):
        assert derived.dataset[name].value == source.dataset[name].value
    np.testing.assert_array_equal(derived.stored[source.padding], source.stored[source.padding])


def test_values_beyond_the_source_format_widen_it(derive):
    _, hu, derived = derive(hu=np.full(RAMP.shape, 5000.0))
    assert (derived.hu == hu).all()
    assert (derived.dataset.BitsStored, derived.dataset.RescaleIntercept) == (16, 0)


def test_a_value_that_would_read_as_padding_widens_the_format(derive):
    source, _, derived = derive(hu=np.full(RAMP.shape, -1024.0), PixelPaddingValue=0)
    np.testing.assert_array_equal(derived.padding, source.padding)
    assert (derived.hu[~source.padding] == -1024).all()


def test_the_image_says_that_it_is_derived_and_from_what(derive):
    source, _, derived = derive()
    data, original = derived.dataset, source.dataset
    assert list(data.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert data.DerivationDescription == "Denoised by a test."
    assert data.DerivationCodeSequence[0].CodeValue == "113087"
    reference = data.SourceImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert reference.ReferencedSOPClassUID == original.SOPClassUID
    assert data.ContributingEquipmentSequence[-1].ManufacturerModelName == "enclair"


def test_new_instance_and_series_in_the_same_study(derive):
    source, _, derived = derive()
    data, original = derived.dataset, source.dataset
    assert data.SOPInstanceUID != original.SOPInstanceUID
    assert data.SeriesInstanceUID != original.SeriesInstanceUID
    assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "InstanceNumber", "PixelSpacing"):
        assert data[name].value == original[name].value


def test_two_derived_images_have_different_identities(tmp_path):
    source = read_slice(write_ct(tmp_path / "a.dcm"))
    uids = {write_derived(source, source.hu, WHY, tmp_path / "b.dcm").SOPInstanceUID for _ in range(2)}
    assert len(uids) == 2


def test_dates_are_in_the_time_zone_of_the_source(derive):
    _, _, derived = derive(TimezoneOffsetFromUTC="-0500")
    assert derived.dataset.TimezoneOffsetFromUTC == "-0500"


def test_what_was_true_of_the_source_pixels_only_is_dropped(tmp_path):
    data = ct_dataset(LargestImagePixelValue=4000)
    data.add_new((0x6000, 0x3000), "OW", bytes(6))
    data.add_new((0x0009, 0x0010), "LO", "SOME MAKER")
    data.add_new((0x0009, 0x1001), "LO", "a private note")
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    source = read_slice(tmp_path / "a.dcm")
    derived = write_derived(source, source.hu, WHY, tmp_path / "b.dcm")
    assert not [element for element in derived if element.tag.is_private or element.tag.group == 0x6000]
    assert "LargestImagePixelValue" not in derived


def test_the_source_in_memory_is_left_alone(derive):
    source, _, _ = derive()
    assert "SourceImageSequence" not in source.dataset
    assert list(source.dataset.ImageType) == ["ORIGINAL", "PRIMARY", "AXIAL"]


def test_a_compressed_source_gives_a_plain_file(tmp_path):
    data = ct_dataset()
    data.compress(RLELossless)
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    source = read_slice(tmp_path / "a.dcm")
    derived = write_derived(source, source.hu, WHY, tmp_path / "b.dcm")
    assert derived.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert "LossyImageCompression" not in derived
    np.testing.assert_array_equal(read_slice(tmp_path / "b.dcm").hu, source.hu)


def test_a_lossy_source_is_remembered(tmp_path):
    source = read_slice(write_ct(tmp_path / "a.dcm"))
    source.dataset.file_meta.TransferSyntaxUID = JPEG2000
    assert write_derived(source, source.hu, WHY, tmp_path / "b.dcm").LossyImageCompression == "01"


def test_a_big_endian_source(tmp_path):
    data = ct_dataset(PixelPaddingValue=40)
    data.PixelData, data.file_meta.TransferSyntaxUID = RAMP.astype(">u2").tobytes(), ExplicitVRBigEndian
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    source = read_slice(tmp_path / "a.dcm")
    write_derived(source, source.hu, WHY, tmp_path / "b.dcm")
    derived = read_slice(tmp_path / "b.dcm")
    np.testing.assert_array_equal(derived.hu, source.hu)
    assert derived.padding.sum() == 1


def test_the_slice_that_comes_with_pydicom(tmp_path, monkeypatch):
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.RAISE)
    source = read_slice(get_testdata_file("CT_small.dcm", download=False))
    write_derived(source, source.hu, WHY, tmp_path / "b.dcm")
    np.testing.assert_array_equal(read_slice(tmp_path / "b.dcm").hu, source.hu)


def test_a_wrong_shape_is_refused(derive):
    with pytest.raises(DicomError, match=r"derived image of \(6, 8\) is needed, the shape of its source, got \(2, 2\)"):
        derive(hu=np.zeros((2, 2)))


@pytest.mark.parametrize("value", [np.nan, np.inf, 40000.0, -32768.0])
def test_values_that_no_file_can_hold_are_refused(derive, value):
    with pytest.raises(DicomError, match=r"within -32767\.\.32767 are needed, got "):
        derive(hu=np.full(RAMP.shape, value))
