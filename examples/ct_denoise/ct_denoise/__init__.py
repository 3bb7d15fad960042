"""The parts of the low-dose CT example: simulation, network, DICOM, metrics and pictures."""
