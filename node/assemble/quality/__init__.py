"""Measures of 4D series: motion, temporal signal-to-noise ratio, spikes. Pure."""
