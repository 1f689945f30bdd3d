"""From a choice to something an app or firmware developer drops in: a folder of sources, model files and a manifest."""
