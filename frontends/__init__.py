"""enclair.frontends"""

if __name__ == "frontends":
    raise ImportError("import enclair.frontends, not frontends: the top-level folder is not a package of its own")
