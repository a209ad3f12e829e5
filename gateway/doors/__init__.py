"""The doors: what of this node can be called over gRPC, and how it calls others."""
