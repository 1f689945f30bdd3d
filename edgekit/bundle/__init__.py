"""From a choice to something an app or firmware developer drops in: a folder of sources, model files and a manifest.

``make`` shows the whole way. What was asked for (``request``) is found and described (``gather``) and put into one
``recipe``. The generator of a target (``android``, ``ios``, ``linux``, ``mcu``) makes files of that, and ``seal``
writes, signs and verifies them. ``records`` is what the manifest holds. The generators share ``template``, ``names``,
``text``, ``c_text``, ``golden`` and ``preprocessing``.
"""
