"""The Helm chart: its values, what it renders, and the servers that what it renders configures."""
