"""A model comes in: a PyTorch module or an ONNX file becomes a graph on real tensors."""

if __name__ == "frontends":
    raise ImportError("import enclair.frontends, not frontends: the top-level folder is not a package of its own")

from enclair.frontends.model_to_graph import to_graph

__all__ = ["to_graph"]
