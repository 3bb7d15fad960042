"""enclair.runtime.backends.bfv"""
