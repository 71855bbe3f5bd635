"""Frozen networks that stand for "the machine": detectors, a segmenter and a perceptual backbone, in Flax."""
