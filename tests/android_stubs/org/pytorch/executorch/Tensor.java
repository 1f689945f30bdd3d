package org.pytorch.executorch;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import stubs.Replay;

/** Bytes in native order; like ExecuTorch's, it takes direct buffers in native order that are as large as the shape. */
public class Tensor {
    private final ByteBuffer bytes;

    private Tensor(ByteBuffer bytes) {
        this.bytes = bytes;
    }

    static Tensor of(byte[] content) {
        ByteBuffer bytes = ByteBuffer.allocate(content.length).order(ByteOrder.nativeOrder());
        bytes.put(content);
        bytes.rewind();
        return new Tensor(bytes);
    }

    byte[] content() {
        return Replay.content(bytes);
    }

    public static Tensor fromBlob(FloatBuffer data, long[] shape) {
        check(data, data.isDirect(), data.order(), shape);
        ByteBuffer copy = ByteBuffer.allocate(data.capacity() * 4).order(ByteOrder.nativeOrder());
        copy.asFloatBuffer().put(data.duplicate());
        return new Tensor(copy);
    }

    public static Tensor fromBlob(IntBuffer data, long[] shape) {
        check(data, data.isDirect(), data.order(), shape);
        ByteBuffer copy = ByteBuffer.allocate(data.capacity() * 4).order(ByteOrder.nativeOrder());
        copy.asIntBuffer().put(data.duplicate());
        return new Tensor(copy);
    }

    public static Tensor fromBlob(LongBuffer data, long[] shape) {
        check(data, data.isDirect(), data.order(), shape);
        ByteBuffer copy = ByteBuffer.allocate(data.capacity() * 8).order(ByteOrder.nativeOrder());
        copy.asLongBuffer().put(data.duplicate());
        return new Tensor(copy);
    }

    public static Tensor fromBlob(ByteBuffer data, long[] shape) {
        check(data, data.isDirect(), data.order(), shape);
        return of(Replay.content(data));
    }

    public static Tensor fromBlobUnsigned(ByteBuffer data, long[] shape) {
        return fromBlob(data, shape);
    }

    /** The real one knows its shape; here the elements are float32, which is what the tests' models give. */
    public long numel() {
        return bytes.remaining() / 4;
    }

    public float[] getDataAsFloatArray() {
        float[] values = new float[bytes.remaining() / 4];
        bytes.asFloatBuffer().get(values);
        return values;
    }

    public byte[] getDataAsByteArray() {
        return content();
    }

    public byte[] getDataAsUnsignedByteArray() {
        return content();
    }

    public int[] getDataAsIntArray() {
        int[] values = new int[bytes.remaining() / 4];
        bytes.asIntBuffer().get(values);
        return values;
    }

    public long[] getDataAsLongArray() {
        long[] values = new long[bytes.remaining() / 8];
        bytes.asLongBuffer().get(values);
        return values;
    }

    private static void check(Buffer data, boolean direct, ByteOrder order, long[] shape) {
        long count = 1;
        for (long side : shape) {
            count *= side;
        }
        if (!direct || order != ByteOrder.nativeOrder() || data.capacity() != count) {
            String sizes = data.capacity() + " of " + count;
            throw new IllegalArgumentException("direct " + direct + ", " + order + ", " + sizes);
        }
    }
}
