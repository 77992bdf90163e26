"""A gateway that is not there: OAuth, the dialects, and every fault that real networks and gateways produce."""
