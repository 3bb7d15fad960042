"""DnCNN on encrypted images."""
