"""From a face to an emotion: classifier and smoother."""
