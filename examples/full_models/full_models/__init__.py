"""Networks for one round: the server computes all of it, the client sees the answer alone."""
