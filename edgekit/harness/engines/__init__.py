"""The runtimes: a literal table (``table``), one small protocol (``base``), one driver per runtime."""
