"""What will go wrong with a model, before it is converted: the stage behind ``edgekit doctor``.

A stage of its own above ``convert``: it needs the exported program and its rewrites as much as what each backend's
converter knows (registries, partitioners, front ends), and ``convert`` itself must not depend on it.
"""
