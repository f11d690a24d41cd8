"""Stand-in for Replicate: models, trainings, predictions, webhooks and deliveries."""
