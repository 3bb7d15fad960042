"""Arithmetic on the limbs of ciphertexts: residues modulo the primes of Q, as uint64, without OpenFHE.

A batch of ciphertexts is one array (count, moduli, 2, limbs, N) in evaluation form. ``Planes`` says which prime each of
its rows of N residues belongs to.
"""
