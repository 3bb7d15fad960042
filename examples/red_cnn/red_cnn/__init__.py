"""RED-CNN on encrypted CT patches."""
