"""Packing for CKKS: slots, rotations and plaintexts; every linear op becomes one sum over generalised diagonals."""
