"""The release of OpenFHE whose serialisation and choice of primes are known."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from enclair.runtime.errors import OpenFheError

RELEASE = "1.6.1"


def check_release() -> None:
    """Refuse another release of OpenFHE.

    Raises:
        OpenFheError: says which release is there.
    """
    try:
        found = version("openfhe")
    except PackageNotFoundError:
        raise OpenFheError(f"encryption needs OpenFHE {RELEASE}: pip install 'openfhe=={RELEASE}.*'") from None
    if not found.startswith(f"{RELEASE}."):
        raise OpenFheError(f"encryption needs OpenFHE {RELEASE}, found {found}: pip install 'openfhe=={RELEASE}.*'")
