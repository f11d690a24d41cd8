"""How every service talks, never what about: bus, retry policy, telemetry, settings, health."""
