package @PACKAGE@.runtime

/** One class of a classifier; [score] is the model's own output, which need not be a probability. */
class Category(val index: Int, val label: String, val score: Float) {
    override fun toString(): String = "$label ($index): $score"

    companion object {
        /** The [k] classes with the largest scores, the largest first; of equal ones, the first. */
        @JvmStatic
        fun top(scores: FloatArray, labels: List<String>, k: Int): List<Category> {
            require(k >= 0) { "k is $k" }
            val order = scores.indices.sortedByDescending { scores[it] }
            return order.take(k).map { Category(it, labels[it], scores[it]) }
        }
    }
}
