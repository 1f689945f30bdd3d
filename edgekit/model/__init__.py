"""Loading a model from any of the forms a model spec can name."""
