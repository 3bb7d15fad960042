"""What ``benchmarks/full.py`` measures."""
