"""enclair.runtime"""

if __name__ == "runtime":
    raise ImportError("import enclair.runtime, not runtime: the top-level folder is not a package of its own")
