"""Archive to provider training, watched to its end."""
