"""Text: vocabularies, corpora of any size, batches, and n-grams to stand beside."""
