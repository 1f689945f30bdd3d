package ai.onnxruntime;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import stubs.Replay;

public class OnnxTensor implements OnnxValue {
    final byte[] content;

    OnnxTensor(byte[] content) {
        this.content = content;
    }

    public static OnnxTensor createTensor(OrtEnvironment env, ByteBuffer data, long[] shape, OnnxJavaType type)
            throws OrtException {
        if (!data.isDirect() || data.order() != ByteOrder.nativeOrder()) {
            throw new OrtException("not direct or not in native order");
        }
        return new OnnxTensor(Replay.content(data));
    }

    public ByteBuffer getByteBuffer() {
        return ByteBuffer.wrap(content.clone()).order(ByteOrder.nativeOrder());
    }

    @Override
    public void close() {}
}
