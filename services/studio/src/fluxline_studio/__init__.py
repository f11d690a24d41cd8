"""The web console: pages over the gateway's API."""
