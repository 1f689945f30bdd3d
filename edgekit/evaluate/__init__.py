"""Accuracy of converted files, run by their real runtimes, beside PyTorch's."""
