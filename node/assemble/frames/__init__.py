"""From an instance's elements to its header and frames, for each kind of image."""
