"""From a float model to an int8 one: calibration data, the recipe, and what came out of it."""
