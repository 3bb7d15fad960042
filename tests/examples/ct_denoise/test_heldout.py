import subprocess
import tarfile

import numpy as np
import pytest

nrrd = pytest.importorskip("nrrd", reason="needs the examples extra: pip install 'enclair[examples]'")

from ct_denoise import heldout  # noqa: E402 - it imports nrrd


@pytest.fixture
def volumes(tmp_path):
    voxels = np.arange(4 * 4 * 6, dtype=np.int16).reshape(4, 4, 6)
    for name in heldout.FILES:
        nrrd.write(str(tmp_path / name), voxels, {"space directions": np.diag([0.5, 0.5, 5.0])})
    return tmp_path, voxels


def test_volumes_are_slices_of_rows_of_columns(volumes):
    folder, voxels = volumes
    first, _ = heldout.load(folder)
    assert (first.name, first.spacing_mm, first.hu.shape) == ("lung1", 0.5, (6, 4, 4))
    assert first.hu[5, 2, 1] == voxels[1, 2, 5]


def test_slices_are_averaged_down(volumes):
    first, _ = heldout.load(volumes[0])
    slices = list(first.slices(step=2, size=2))
    assert len(slices) == 3
    assert slices[0][0, 0] == first.hu[1, :2, :2].mean()


def test_a_folder_without_the_files(tmp_path):
    with pytest.raises(heldout.DataMissing, match=r"lung1_image\.nrrd and lung2_image\.nrrd are needed in "):
        heldout.load(tmp_path)


def test_a_download_that_fails_says_what_to_do(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no network\n")
    monkeypatch.setattr(heldout.subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(heldout.DataMissing, match=r"(?s)could not be downloaded .*no network.*give that with --data"):
        heldout.fetch(tmp_path / "cache")


def test_only_the_two_files_leave_the_archive(volumes, tmp_path):
    archive, out = tmp_path / "pyradiomics-3.0.1.tar.gz", tmp_path / "out"
    with tarfile.open(archive, "w:gz") as tar:
        for name in (*heldout.FILES, heldout.FILES[0]):
            tar.add(volumes[0] / name, f"pyradiomics-3.0.1/data/{name}")
        tar.add(volumes[0] / heldout.FILES[0], "pyradiomics-3.0.1/setup.py")
    out.mkdir()
    heldout.extract(archive, out)
    assert sorted(path.name for path in out.iterdir()) == sorted(heldout.FILES)
