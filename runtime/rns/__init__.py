"""CKKS on residues, without OpenFHE: transforms, key switching, rescaling and encoding in float64.

All primes are below 2^50, so that residues are float64 and a product modulo a prime is a few fused multiply-adds.
Residues are centred: at most half the prime in magnitude. A polynomial is an array (limbs, N) in evaluation form,
values in the order of ``transforms.order``; a ciphertext is (parts, limbs, N).
"""
