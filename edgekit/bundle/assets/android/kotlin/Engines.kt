package @PACKAGE@.runtime

import android.content.Context
@IMPORTS@

/** The formats of this bundle's files. */
enum class Format {
@FORMATS@
}

/** The runtimes of this bundle. */
object Engines {
    /** Loads a variant's file, after its sha256 was checked. */
    @JvmStatic
@UNUSED@    fun open(context: Context, files: ModelFiles, variant: Variant, threads: Int): Engine =
        when (variant.format) {
@BRANCHES@
        }
}
