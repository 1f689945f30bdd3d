"""What goes into a bundle: files found by their content, and what is known of them.

``source`` finds the files that were asked for; ``choice_file`` reads the document of ``edgekit choose``. ``parts``
makes models of them: how each is fed and read (``contract``), what the user gives (``given``), whether it computes what
the model does (``judged``), what was measured and whether that counts for the target (``evidence``, ``kinds``), and
whose it is (``licences``).
"""
