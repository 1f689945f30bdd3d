package org.junit;

public class Assert {
    public static void assertTrue(String message, boolean condition) {
        if (!condition) {
            throw new AssertionError(message);
        }
    }

    public static void assertArrayEquals(byte[] expected, byte[] actual) {
        assertTrue("the arrays differ", java.util.Arrays.equals(expected, actual));
    }
}
