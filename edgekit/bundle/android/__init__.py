"""``--for android``: a Gradle library module with a typed Kotlin class for every model."""

from edgekit.bundle.android.generator import AndroidGenerator

GENERATOR = AndroidGenerator()
