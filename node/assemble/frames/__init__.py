"""Read the header and the frames of an instance: classic, enhanced, nuclear medicine, dose."""
