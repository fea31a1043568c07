"""Quantization of a float network to an int8 TFLite file with its card."""
