"""What an experiment needs around a model: its frame, measures, baselines, pictures."""
