package @PACKAGE@.runtime

import android.graphics.Bitmap
import android.os.Build

/** Pictures as the preprocessing takes them. */
object Images {
    /**
     * The model's first input from an upright picture. A bitmap is not turned by a picture file's EXIF tag: whoever
     * decodes the file does that.
     */
    @JvmStatic
    fun preprocess(steps: PreprocessingSteps, bitmap: Bitmap): FloatArray {
        val plain = readable(bitmap)
        val argb = IntArray(plain.width * plain.height)
        plain.getPixels(argb, 0, plain.width, 0, 0, plain.width, plain.height)
        return Preprocessing.run(steps, argb, plain.width, plain.height)
    }

    /** The pixels of a hardware bitmap can't be read. */
    private fun readable(bitmap: Bitmap): Bitmap {
        if (Build.VERSION.SDK_INT < 26 || bitmap.config != Bitmap.Config.HARDWARE) return bitmap
        return bitmap.copy(Bitmap.Config.ARGB_8888, false)
            ?: throw IllegalStateException("The hardware bitmap can't be copied.")
    }
}
