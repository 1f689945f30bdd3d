"""The host harness: one artifact, one job, one fresh process.

:func:`edgekit.harness.launch.run_job` starts ``python -m edgekit.harness JOB.json ENVELOPE.json``; everything that
loads a runtime happens in that child, so a runtime that crashes can't take edgekit with it.
"""
