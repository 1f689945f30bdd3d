package @PACKAGE@.runtime

import java.math.BigInteger
import java.security.MessageDigest

/**
 * Verifies Ed25519 signatures (RFC 8032, section 5.1.7), which Android's own java.security can't do on most devices.
 * Only public values come in, so nothing depends on how long a step takes.
 */
internal object Ed25519 {
    private val ONE = BigInteger.ONE
    private val P = ONE.shiftLeft(255) - BigInteger.valueOf(19)
    private val ORDER = ONE.shiftLeft(252) + BigInteger("27742317777372353535851937790883648493")
    private val D = (BigInteger.valueOf(-121665) * BigInteger.valueOf(121666).modInverse(P)).mod(P)
    private val ROOT_OF_MINUS_ONE = BigInteger.valueOf(2).modPow((P - ONE).shiftRight(2), P)
    private val BASE: Point = run {
        val y = (BigInteger.valueOf(4) * BigInteger.valueOf(5).modInverse(P)).mod(P)
        point(requireNotNull(root(y, false)), y)
    }

    /** A point in extended coordinates: x = [x] / [z], y = [y] / [z], x * y = [t] / [z]. */
    private class Point(val x: BigInteger, val y: BigInteger, val z: BigInteger, val t: BigInteger)

    /** Whether [signature] (64 bytes) is that of the [message] by the [key] (32 bytes). */
    fun verifies(key: ByteArray, message: ByteArray, signature: ByteArray): Boolean {
        if (key.size != 32 || signature.size != 64) return false
        val first = signature.copyOfRange(0, 32)
        val s = number(signature.copyOfRange(32, 64))
        val signer = decoded(key)
        // A larger s would make a second signature out of every one.
        if (signer == null || s >= ORDER) return false
        val digest = MessageDigest.getInstance("SHA-512")
        digest.update(first)
        digest.update(key)
        digest.update(message)
        val k = number(digest.digest()).mod(ORDER)
        val negative = Point((P - signer.x).mod(P), signer.y, signer.z, (P - signer.t).mod(P))
        return encoded(sum(product(s, BASE), product(k, negative))).contentEquals(first)
    }

    private fun point(x: BigInteger, y: BigInteger) = Point(x, y, ONE, (x * y).mod(P))

    private fun decoded(bytes: ByteArray): Point? {
        val all = number(bytes)
        val y = all.clearBit(255)
        if (y >= P) return null
        val x = root(y, all.testBit(255)) ?: return null
        return point(x, y)
    }

    private fun encoded(point: Point): ByteArray {
        val inverse = point.z.modInverse(P)
        val x = (point.x * inverse).mod(P)
        var all = (point.y * inverse).mod(P)
        if (x.testBit(0)) all = all.setBit(255)
        return ByteArray(32) { all.shiftRight(8 * it).toByte() }
    }

    /** The x of a point from its y; null if no point has it. */
    private fun root(y: BigInteger, odd: Boolean): BigInteger? {
        val square = ((y * y - ONE) * (D * y * y + ONE).mod(P).modInverse(P)).mod(P)
        var x = square.modPow((P + BigInteger.valueOf(3)).shiftRight(3), P)
        if ((x * x).mod(P) != square) x = (x * ROOT_OF_MINUS_ONE).mod(P)
        if ((x * x).mod(P) != square || (x.signum() == 0 && odd)) return null
        return if (x.testBit(0) == odd) x else P - x
    }

    private fun product(factor: BigInteger, point: Point): Point {
        var result = Point(BigInteger.ZERO, ONE, ONE, BigInteger.ZERO)
        for (bit in factor.bitLength() - 1 downTo 0) {
            result = sum(result, result)
            if (factor.testBit(bit)) result = sum(result, point)
        }
        return result
    }

    private fun sum(p: Point, q: Point): Point {
        val a = ((p.y - p.x) * (q.y - q.x)).mod(P)
        val b = ((p.y + p.x) * (q.y + q.x)).mod(P)
        val c = (p.t * q.t * D).shiftLeft(1).mod(P)
        val d = (p.z * q.z).shiftLeft(1).mod(P)
        val e = b - a
        val f = d - c
        val g = d + c
        val h = b + a
        return Point((e * f).mod(P), (g * h).mod(P), (f * g).mod(P), (e * h).mod(P))
    }

    /** Little-endian. */
    private fun number(bytes: ByteArray) = BigInteger(1, bytes.reversedArray())
}
