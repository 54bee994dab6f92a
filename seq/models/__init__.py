"""The shapes of a sequence model: from a language model to an encoder and a decoder."""
