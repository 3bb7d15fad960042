"""What a user may hear from the compiler."""

from __future__ import annotations

from enclair.compiler.ir.errors import EnclairError


class CompileError(EnclairError):
    """The model cannot be compiled as asked; the message says which layer needs what."""


class CalibrationError(CompileError):
    """The calibration data do not fit the model."""


class DoesNotFit(EnclairError):
    """The sums of a node are too large for any plaintext modulus. The compiler catches it and refreshes its inputs."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(f"%{node}: {reason}")
        self.node = node
        self.reason = reason


class PackingError(EnclairError):
    """A node has no packed form in its stage. The compiler catches it and moves the node or refreshes its inputs."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(f"%{node}: {reason}")
        self.node = node
        self.reason = reason
