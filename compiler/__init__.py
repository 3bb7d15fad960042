"""enclair.compiler"""

if __name__ == "compiler":
    raise ImportError("import enclair.compiler, not compiler: the top-level folder is not a package of its own")
